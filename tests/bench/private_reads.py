"""Processor time of a fast answer in a private registry, beside a public one.

A third reader answers for a public file of a registry that has private packages too. All are in one process
and take turns, so that other work on the machine slows all. No socket is involved: what is measured is
everything between the bytes that were received and those that are sent.
"""

from __future__ import annotations

import asyncio
import hashlib
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from api.read.app import ReadService
from api.read.fast_path import FastProtocol
from api.read.fast_server import READ_SERVICE
from shared.access import ACCESS_KEY, Grant, render_access
from shared.blobs import CONFIG_KEY, JSON_TYPE
from shared.settings import Settings
from shared.storage.filesystem import FileSystemStorage

TOKEN = "x07t_" + "0" * 64
KEY = "index/he/ll/hello"
BLOCK = f"\r\nHost: x\r\nUser-Agent: ureq/3.0\r\nAccept: */*\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
REQUEST = f"GET /{KEY} HTTP/1.1{BLOCK}".encode()
ROUNDS, ANSWERS = 40, 10_000


class Sink(asyncio.Transport):
    """Takes answers and counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = 0

    def write(self, data: Any) -> None:
        """Count an answer."""
        self.answers += 1

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is buffered."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Nothing is known."""
        return default


async def side(storage: FileSystemStorage, overrides: Mapping[str, Any]) -> tuple[FastProtocol, Sink]:
    """A connection to a reader that has learned the file."""
    settings = Settings(read_ttl_seconds=3600, **overrides)
    service = ReadService(storage, settings)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await service(scope, receive, send)

    headers = [(b"host", b"x"), (b"authorization", f"Bearer {TOKEN}".encode())]
    scope = {"type": "http", "method": "GET", "raw_path": f"/{KEY}".encode(), "query_string": b""}
    scope |= {"path": f"/{KEY}", "headers": headers, "state": {"request_id": "0" * 32}}

    async def send(message: Any) -> None:
        """Nobody receives it."""

    await service(scope, send, send)  # type: ignore[arg-type]
    config = Config(app, log_config=None)
    config.load()
    protocol, sink = FastProtocol(config, ServerState(), {READ_SERVICE: service}), Sink()
    protocol.connection_made(sink)
    return protocol, sink


def seconds(protocol: FastProtocol) -> float:
    """Processor time of the answers of a round."""
    began = time.process_time()
    for _ in range(ANSWERS):
        protocol.data_received(REQUEST)
    return time.process_time() - began


async def fill(storage: FileSystemStorage) -> None:
    """Create the tree: one index file, and a list of 10,001 tokens with TOKEN among them."""
    await storage.create()
    tokens = {sha256_of(TOKEN): Grant(time.time() + 86_400)} | {
        sha256_of(str(number)): Grant(None) for number in range(10_000)
    }
    for key, body in (
        (KEY, b'{"name":"hello"}\n' * 30),
        (CONFIG_KEY, b"{}"),
        (ACCESS_KEY, render_access(tokens)),
    ):
        await storage.put(key, body, content_type=JSON_TYPE, digest=sha256_of(key))


async def measure(root: Path) -> None:
    """Print the time of an answer on each side, and the rates of the others to that of the public one."""
    storage = FileSystemStorage(root)
    await fill(storage)
    overrides: list[dict[str, Any]] = [{}, {"reads": "token"}, {"private_namespaces": "acme-*:alice"}]
    sides = [await side(storage, each) for each in overrides]
    times: list[list[float]] = [[] for _ in sides]
    for _ in range(ROUNDS):
        for each, (protocol, _sink) in zip(times, sides, strict=True):
            each.append(seconds(protocol))
    assert all(sink.answers == ROUNDS * ANSWERS for _, sink in sides)
    public, private, mixed = (statistics.median(each) / ANSWERS * 1e6 for each in times)
    print(f"an answer: public {public:.2f} us; private {private:.2f} us, {public / private:.3f} of the rate")
    print(f"public beside private packages {mixed:.2f} us, {public / mixed:.3f} of the rate")
    await storage.close()


def sha256_of(text: str) -> str:
    """SHA-256, 64 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def main() -> None:
    """Measure in a fresh folder."""
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(measure(Path(directory)))


if __name__ == "__main__":
    main()
