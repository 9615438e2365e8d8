"""A fuzzer of archive checks: mutates a kept corpus, and keeps what is answered as nothing before it.

`python -m tests.fuzz.archives --seconds 600` (`make fuzz`). A mutant is sound if the check answers with
a result or a refusal, soon, and a result means what Python's tarfile sees too: the same files with the
same bytes, and nothing but files and directories. The seed is printed; with --seed a run is the same.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import random
import re
import tarfile
import tempfile
import time
from pathlib import Path

from api.write.archive import check_archive
from api.write.archive_paths import files_by_path
from api.write.tar import Tar
from shared.errors import RegistryError
from tests.archives import BLOCK, END, hello_archive, pax

CORPUS = Path(__file__).parent / "corpus"
LIMIT_S = 5.0
MAX_BYTES = 200_000
VARYING = re.compile(r'[0-9]+|"[^"]*"')
FRAGMENTS = [
    *(b"\0", b"\xff", b"\x80", b"../", b"/", b"./", b"\\", b"C:", b"\xe2\x80\xae", b"\xcc\x8a", b"\xc3"),
    *(b"[" * 200, b'{"a":' * 200, b"9" * 400, b"1e999", b"-0", b"NaN", b"\\ud800", b"\\u0000"),
    *(b'"name":"other",', b'"version":"9.9.9",', b'"modules":["a"],', b'"meta":null,', b"x07-package.json"),
    *(b"00000000000\0", b"77777777777\0", b"\x80" + bytes(10) + b"\x01", b"ustar\00000", b"ustar  \0"),
    *(pax({"path": "x07-package.json"}), pax({"size": "0"}), pax({"GNU.sparse.major": "1"}, kind=b"g")),
    *(END, b"\xef\xbb\xbf"),
]


def corpus() -> list[bytes]:
    """A good archive and the kept ones, in a fixed order."""
    return [hello_archive(), *(path.read_bytes() for path in sorted(CORPUS.iterdir()))]


def mutate(random_: random.Random, archives: list[bytes]) -> bytes:
    """A mutant of one archive, or of two; headers mostly with a right checksum, so that they are read."""
    archive = bytearray(random_.choice(archives))
    for _ in range(random_.randint(1, 4)):
        random_.choice(MUTATIONS)(random_, archive, archives)
    if random_.random() < 0.8:
        _correct_checksums(archive)
    return bytes(archive[:MAX_BYTES])


def _insert_fragment(random_: random.Random, archive: bytearray, _: list[bytes]) -> None:
    start, removed = random_.randint(0, len(archive)), random_.choice((0, 1, 12, BLOCK))
    archive[start : start + removed] = random_.choice(FRAGMENTS)


def _overwrite(random_: random.Random, archive: bytearray, _: list[bytes]) -> None:
    """In place, where it hurts: blocks keep their places."""
    fragment = random_.choice(FRAGMENTS)
    start = random_.randint(0, max(0, len(archive) - len(fragment)))
    archive[start : start + len(fragment)] = fragment


def _change_field(random_: random.Random, archive: bytearray, _: list[bytes]) -> None:
    """Name, size, type, link name, magic or prefix of some block that may be a header."""
    start, length = random_.choice(((0, 100), (124, 12), (156, 1), (157, 100), (257, 8), (345, 155)))
    block = BLOCK * random_.randrange(max(1, len(archive) // BLOCK))
    value = random_.choice((b"0", b"1", b"2", b"5", b"7", b"x", b"g", b"L", b"K", b"S", *FRAGMENTS))
    archive[block + start : block + start + length] = value[:length].ljust(length, b"\0")


def _splice(random_: random.Random, archive: bytearray, archives: list[bytes]) -> None:
    """Blocks of another archive between those of this one."""
    other = random_.choice(archives)
    start, end = sorted(BLOCK * random_.randint(0, len(other) // BLOCK) for _ in range(2))
    at = BLOCK * random_.randint(0, len(archive) // BLOCK)
    archive[at:at] = other[start:end]


def _flip(random_: random.Random, archive: bytearray, _: list[bytes]) -> None:
    if archive:
        archive[random_.randrange(len(archive))] ^= 1 << random_.randrange(8)


def _cut(random_: random.Random, archive: bytearray, _: list[bytes]) -> None:
    start = random_.randint(0, len(archive))
    del archive[start : start + random_.choice((1, BLOCK, 4 * BLOCK, MAX_BYTES))]


MUTATIONS = (_insert_fragment, _overwrite, _change_field, _change_field, _splice, _flip, _cut)


def _correct_checksums(archive: bytearray) -> None:
    for start in range(0, len(archive) - BLOCK + 1, BLOCK):
        block = archive[start : start + BLOCK]
        if block[257:262] == b"ustar":
            block[148:156] = b" " * 8
            archive[start + 148 : start + 156] = b"%06o\0 " % sum(block)


def outcome(archive: bytes, path: Path) -> str:
    """What the check answers, without what differs between archives. Raises AssertionError if unsound.

    path: a file to put the archive in.
    """
    path.write_bytes(archive)
    began = time.process_time()
    try:
        check_archive(path, allowed_hosts=["x07.io"], allowed_buckets=[])
    except RegistryError as error:
        answer = f"{error.code} {VARYING.sub('', error.message)[:200]}"
    else:
        require_same_for_tarfile(archive)
        answer = "accepted"
    assert time.process_time() - began < LIMIT_S, "the check took too long"
    return answer


def require_same_for_tarfile(archive: bytes) -> None:
    """An accepted archive holds for another reader the same files with the same bytes."""
    tar = Tar(io.BytesIO(archive))
    ours = {path: tar.read(found, len(archive)) for path, found in files_by_path(list(tar.entries())).items()}
    theirs = {}
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as other:
        for member in other:
            assert member.isfile() or member.isdir(), member
            assert ".." not in member.name.split("/"), member
            file = other.extractfile(member) if member.isfile() else None
            if file is not None:
                assert member.name not in theirs
                theirs[member.name] = file.read()
    assert sorted(ours) == sorted(_plain(theirs))
    assert sorted(ours.values()) == sorted(theirs.values())


def _plain(files: dict[str, bytes]) -> list[str]:
    return ["/".join(part for part in path.split("/") if part not in ("", ".")) for path in files]


def run(seconds: float, seed: int) -> None:
    """Fuzz for so long; archives with an answer that was new are then in the corpus."""
    random_, archives, seen, tried = random.Random(seed), corpus(), set[str](), 0
    ends = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "upload"
        seen.update(outcome(archive, path) for archive in archives)
        known = len(seen)
        while time.monotonic() < ends:
            mutant, tried = mutate(random_, archives), tried + 1
            try:
                answer = outcome(mutant, path)
            except BaseException:
                print(f"unsound, kept as {_keep(mutant)}", flush=True)
                raise
            if answer not in seen:
                seen.add(answer)
                archives.append(mutant)
                print(f"{_keep(mutant).name}: {answer}", flush=True)
    print(f"{tried} archives in {seconds:.0f} s, seed {seed}: {len(seen)} answers, {len(seen) - known} new")


def _keep(archive: bytes) -> Path:
    path = CORPUS / f"{hashlib.sha256(archive).hexdigest()[:16]}.tar"
    path.write_bytes(archive)
    return path


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    run(arguments.seconds, arguments.seed)


if __name__ == "__main__":
    main()
