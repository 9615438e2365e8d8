"""A fuzzer of archive checks: mutates a kept corpus, and keeps archives whose outcome is new.

`python -m tests.fuzz.archives --seconds 600` (`make fuzz`). The check must answer a mutant soon, with a
result or a refusal. If the checks accept an archive's tar format, all programs of tar_programs.py must unpack
the same files with the same bytes. The seed is printed; with --seed a run can be repeated.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import re
import tempfile
import time
from pathlib import Path

from api.write.archive.check import check_archive
from shared.errors import RegistryError
from tests.archives import BLOCK, END, hello_archive, pax
from tests.fuzz.comparison import require_same
from tests.fuzz.generation import generate
from tests.fuzz.tar_programs import find_tar_programs

CORPUS = Path(__file__).parent / "corpus"
LIMIT_S = 5.0
MAX_BYTES = 200_000
VARYING = re.compile(r'[0-9]+|"(?:[^"\\]|\\.)*"…?|; .*')
FRAGMENTS = [
    *(b"\0", b"\xff", b"\x80", b"../", b"/", b"./", b"\\", b"C:", b"\xe2\x80\xae", b"\xcc\x8a", b"\xc3"),
    *(b"[" * 200, b'{"a":' * 200, b"9" * 400, b"1e999", b"-0", b"NaN", b"\\ud800", b"\\u0000"),
    *(b'"name":"other",', b'"version":"9.9.9",', b'"modules":["a"],', b'"meta":null,', b"x07-package.json"),
    *(b"00000000000\0", b"77777777777\0", b"\x80" + bytes(10) + b"\x01", b"ustar\00000", b"ustar  \0"),
    *(pax({"path": "x07-package.json"}), pax({"size": "0"}), pax({"GNU.sparse.major": "1"}, kind=b"g")),
    *(END, b"\xef\xbb\xbf"),
]


def corpus() -> list[bytes]:
    """A valid archive and the kept ones, in a fixed order."""
    return [hello_archive(), *(path.read_bytes() for path in sorted(CORPUS.iterdir()))]


def make(random_: random.Random, archives: list[bytes]) -> bytes:
    """A new archive, or a mutant of existing ones."""
    return generate(random_) if random_.random() < 0.7 else mutate(random_, archives)


def mutate(random_: random.Random, archives: list[bytes]) -> bytes:
    """A mutant of one or two archives; most headers get a valid checksum, so that they are parsed."""
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
    """Overwrite bytes at sensitive positions; blocks keep their places."""
    fragment = random_.choice(FRAGMENTS)
    start = random_.randint(0, max(0, len(archive) - len(fragment)))
    archive[start : start + len(fragment)] = fragment


def _change_field(random_: random.Random, archive: bytearray, _: list[bytes]) -> None:
    """Change name, size, type, link name, magic or prefix of a block that may be a header."""
    start, length = random_.choice(((0, 100), (124, 12), (156, 1), (157, 100), (257, 8), (345, 155)))
    block = BLOCK * random_.randrange(max(1, len(archive) // BLOCK))
    value = random_.choice((b"0", b"1", b"2", b"5", b"7", b"x", b"g", b"L", b"K", b"S", *FRAGMENTS))
    archive[block + start : block + start + length] = value[:length].ljust(length, b"\0")


def _splice(random_: random.Random, archive: bytearray, archives: list[bytes]) -> None:
    """Insert blocks of another archive between those of this one."""
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
    """The outcome of the check, without the details of the archive. Raises AssertionError if it is wrong.

    path: a file to write the archive to.
    """
    path.write_bytes(archive)
    began = time.process_time()
    try:
        check_archive(path, allowed_hosts=["x07.io"], allowed_buckets=[])
        answer = "accepted"
    except RegistryError as error:
        answer = f"{error.code} {VARYING.sub('', error.message)[:200]}"
    assert time.process_time() - began < LIMIT_S, "the check took too long"
    return answer


def run(seconds: float, seed: int) -> None:
    """Fuzz for this long; archives with a new outcome are added to the corpus."""
    programs = find_tar_programs()
    print(f"compared with {programs.told}; seed {seed}", flush=True)
    random_, archives, seen = random.Random(seed), corpus(), set[str]()
    tried = compared = 0
    ends = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "upload"
        seen.update(outcome(archive, path) for archive in archives)
        known = len(seen)
        while time.monotonic() < ends:
            mutant, tried = make(random_, archives), tried + 1
            try:
                answer = outcome(mutant, path)
                compared += require_same(path, programs.found)
            except BaseException:
                print(f"unsound, kept as {_keep(mutant)}", flush=True)
                raise
            if answer not in seen:
                seen.add(answer)
                archives.append(mutant)
                print(f"{_keep(mutant).name}: {answer}", flush=True)
    print(
        f"{tried} archives in {seconds:.0f} s, seed {seed}: {len(seen)} answers, {len(seen) - known} new;"
        f" {compared} were unpacked by {len(programs.found)} programs, all alike"
    )


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
    run(arguments.seconds, arguments.seed)


if __name__ == "__main__":
    main()
