"""What it costs a reader to answer with an index file that is not in its memory, on a directory and on S3.

`python -m tests.bench.misses [CHECKOUT ...]` measures this program beside the versions in these folders, each
with a .venv of its own, in alternating rounds. The floors are the same files read without a server.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from statistics import median

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from indexer.encodings import put_variants_of_body
from shared.blobs import CONFIG_KEY, content_type_of, index_key
from shared.encodings import variant_key
from shared.names import parse_name
from shared.settings import PREFIX, Settings
from shared.storage.attributes import ATTRIBUTE
from shared.storage.opening import open_storage
from tests.bench.load import CLIENT_CORE, CONNECTIONS, Load, many_requests, on_core, require_wrk, wrk
from tests.bench.measure import print_table
from tests.bench.read_sides import LONG_TTL_S, ROOT, Side, index_path, names, ours
from tests.seaweedfs import ACCESS_KEY, SECRET_KEY, SeaweedFs

NAMES, ROUNDS, SECONDS = 5_000, 4, 2.0
VARIANTS_FROM_BYTES = 1024
# Holds a twentieth of the names, so that nearly every answer comes from storage.
CACHE = {f"{PREFIX}READ_CACHE_BYTES": str(1 << 20)}
SIZES = {
    "one version, 615 bytes": (615, 1),
    "three versions, 1.8 KB": (1845, 1),
    "eight versions, 4.9 KB": (4920, 2),
}
"""The size of an index file, and how many files a reader who accepts gzip needs: it, and its variant."""


@dataclass(frozen=True, slots=True)
class Tree:
    """Index files of one size in one kind of storage. floor_us: see the functions below."""

    name: str
    settings: Settings
    floor_us: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Measured:
    """The runs of one version over one tree: with many connections, and with one."""

    many: list[Load] = field(default_factory=list)
    one: list[Load] = field(default_factory=list)

    def row(self) -> list[str]:
        """Medians over the rounds."""
        figures = [
            median(load.per_second for load in self.many),
            median(load.cpu_us for load in self.many),
            median(load.cpu_us for load in self.one),
            median(load.p50_us for load in self.one),
        ]
        errors = sum(load.errors for load in (*self.many, *self.one))
        return [*(f"{figure:,.0f}" for figure in figures), str(errors)]


def main(arguments: Sequence[str] = ()) -> None:
    """Measure every tree, round by round, and print medians."""
    require_wrk()
    checkouts = [*map(Path, arguments), ROOT]
    with tempfile.TemporaryDirectory(prefix="x07-bench-") as text, ExitStack() as stack:
        directory = Path(text)
        for tree in [*_directories(directory), *_buckets(directory, stack)]:
            floors, found = _measured(tree, checkouts, directory)
            rows = [["floor", "", f"{median(floors):,.0f}", "", "", ""]]
            rows += [[str(checkout), *each.row()] for checkout, each in found.items()]
            columns = ["", "a second", f"CPU us at {CONNECTIONS}", "CPU us at 1", "p50 us at 1", "errors"]
            notes = [f"medians of {ROUNDS} alternating rounds over {NAMES:,} names; CPU of the server alone"]
            print_table(tree.name, f"misses {' '.join(arguments)}".strip(), columns, rows, notes)


def _measured(
    tree: Tree, checkouts: Sequence[Path], directory: Path
) -> tuple[list[float], dict[Path, Measured]]:
    requests = many_requests([index_path(name) for name in names(NAMES)], NAMES)
    found = {checkout: Measured() for checkout in checkouts}
    floors = []
    with ExitStack() as stack:
        sides = {
            checkout: stack.enter_context(
                ours(tree.settings, directory, **CACHE, PYTHONPATH=str(checkout.resolve()))
            )
            for checkout in checkouts
        }
        for number in range(ROUNDS):
            print(f"{tree.name}: round {number + 1} of {ROUNDS}", file=sys.stderr, flush=True)
            floors.append(tree.floor_us())
            for checkout, side in sorted(sides.items(), reverse=bool(number % 2)):
                for connections, into in ((CONNECTIONS, found[checkout].many), (1, found[checkout].one)):
                    into.append(_load(side, requests, directory, connections))
    return floors, found


def _load(side: Side, requests: Sequence[bytes], directory: Path, connections: int) -> Load:
    return wrk(side.address, side.process, requests, directory, seconds=SECONDS, connections=connections)


def _directories(directory: Path) -> Iterator[Tree]:
    for size, (size_bytes, files) in SIZES.items():
        settings = Settings(data_dir=directory / str(size_bytes), read_ttl_seconds=LONG_TTL_S)
        asyncio.run(_fill(settings, size_bytes))
        yield Tree(
            f"directory, {size}", settings, lambda settings=settings, files=files: _files_us(settings, files)
        )


def _buckets(directory: Path, stack: ExitStack) -> Iterator[Tree]:
    """SeaweedFS shares the client's core."""
    with on_core(CLIENT_CORE):
        (home := directory / "seaweedfs").mkdir()
        server = SeaweedFs(home)
        server.start()
        stack.callback(server.stop)
    for size, (size_bytes, files) in SIZES.items():
        settings = Settings(
            storage="s3", s3_prefix=str(size_bytes), read_ttl_seconds=LONG_TTL_S, **server.settings
        )
        asyncio.run(_fill(settings, size_bytes))
        yield Tree(f"S3, {size}", settings, lambda settings=settings, files=files: _gets_us(settings, files))


async def _fill(settings: Settings, size_bytes: int) -> None:
    """Put index files with their variants, of bodies of 1 KB too, as workers did before decision 0055."""
    storage = await open_storage(settings)
    places = asyncio.Semaphore(64)

    async def put(key: str, body: bytes) -> None:
        kind, digest = content_type_of(key), hashlib.sha256(body).hexdigest()
        async with places:
            await storage.put(key, body, content_type=kind, digest=digest)
            if size_bytes >= VARIANTS_FROM_BYTES:
                await put_variants_of_body(storage, key, body, content_type=kind, digest=digest)

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(put(CONFIG_KEY, b"{}"))
            for name in names(NAMES):
                group.create_task(put(index_key(parse_name(name)), _index_file(name, size_bytes)))
    finally:
        await storage.close()


def _index_file(name: str, size_bytes: int) -> bytes:
    """Lines of some 600 bytes, of which a third is a digest and a signature that do not compress."""
    lines = []
    for number in range(size_bytes // 600):
        digest = hashlib.sha512(f"{name}{number}".encode()).hexdigest()
        line = f'{{"schema_version":"x07.index-entry@0.1.0","name":"{name}","version":"0.1.{number}",'
        line += f'"cksum":"{digest[:64]}","signature":"{digest}","description":"'
        lines.append(f'{line:x<{size_bytes // (size_bytes // 600) - 3}}"}}\n')
    return "".join(lines).encode()


def _files_us(settings: Settings, files: int) -> float:
    """Processor time of open, fstat, getxattr, read and close of one index file, or of it and its variant."""
    paths = [
        [settings.data_dir / key, settings.data_dir / variant_key(key, "gzip")][:files]
        for key in (index_key(parse_name(name)) for name in names(NAMES))
    ]
    random.shuffle(paths)
    began = time.process_time()
    for path in (path for each in paths for path in each):
        descriptor = os.open(path, os.O_RDONLY)
        size_bytes = os.fstat(descriptor).st_size
        os.getxattr(descriptor, ATTRIBUTE)
        os.read(descriptor, size_bytes)
        os.close(descriptor)
    return (time.process_time() - began) / len(paths) * 1e6


def _gets_us(settings: Settings, files: int) -> float:
    """Processor time of a signed GET of each of these files over one connection of the standard library."""
    endpoint = str(settings.s3_endpoint)
    signer = S3SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), "s3", settings.s3_region)
    connection = HTTPConnection(endpoint.removeprefix("http://"))
    some = random.sample(names(NAMES), 500)
    began = time.process_time()
    for name in some:
        key = index_key(parse_name(name))
        for one in [key, variant_key(key, "gzip")][:files]:
            path = f"/{settings.s3_bucket}/{settings.s3_prefix}{one}"
            request = AWSRequest("GET", f"{endpoint}{path}")
            signer.add_auth(request)
            connection.request("GET", path, headers=dict(request.headers))
            answer = connection.getresponse()
            if answer.status != 200 or not answer.read():
                raise RuntimeError(f"{path}: {answer.status}")
    connection.close()
    return (time.process_time() - began) / len(some) * 1e6


if __name__ == "__main__":
    main(sys.argv[1:])
