"""A proxy, in a process of its own, that holds each answer of an S3 server for a while and notes requests.

FaultProxy and S3Proxy would take a good part of the processor that is measured here.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import uvloop

METHODS: Final = (b"GET ", b"PUT ", b"HEAD ", b"POST ", b"DELETE ")


class SlowS3:
    """The proxy, seen from the benchmark."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid
        self.endpoint = f"http://127.0.0.1:{self._ask('port')}"

    def hold_answers_for(self, seconds: float) -> None:
        """Hold each answer from now on for so long."""
        self._ask(f"delay {seconds}")

    def take_requests(self) -> list[tuple[str, str]]:
        """Method and path of every request since the last call."""
        return [(method, unquote(path)) for method, _, path in map(_parted, self._ask("requests").split())]

    def _ask(self, question: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(question, file=self._process.stdin, flush=True)
        return self._process.stdout.readline().strip()


def _parted(request: str) -> tuple[str, str, str]:
    return request.partition(":")


@contextmanager
def slow_s3(endpoint: str) -> Iterator[SlowS3]:
    """The proxy in front of this server, without a delay at first."""
    command = [sys.executable, "-m", "tests.bench.slow_s3", endpoint]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield SlowS3(process)
    finally:
        process.kill()
        process.wait()


class _Proxy:
    def __init__(self, host: str, port: int) -> None:
        self.address = host, port
        self.delay_s = 0.0
        self.requests: list[str] = []

    def answer(self, question: str, port: int) -> str:
        """The answer to a line from the benchmark."""
        match question.split():
            case ["delay", seconds]:
                self.delay_s = float(seconds)
            case ["requests"]:
                told, self.requests = self.requests, []
                return " ".join(told)
        return str(port)


class _Client(asyncio.Protocol):
    """A connection from a client. What arrives before the server's connection is there waits."""

    def __init__(self, proxy: _Proxy) -> None:
        self._proxy = proxy
        self._early = bytearray()
        self.server: Any = None
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        loop = asyncio.get_running_loop()
        self._opening = loop.create_task(
            loop.create_connection(lambda: _Server(self._proxy, self), *self._proxy.address)
        )

    def data_received(self, data: bytes) -> None:
        if data.startswith(METHODS):
            method, path, _ = data.split(b" ", 2)
            self._proxy.requests.append(f"{method.decode()}:{path.decode()}")
        if self.server is None:
            self._early += data
        else:
            self.server.write(data)

    def begin(self, server: Any) -> None:
        """The server's connection is there."""
        self.server = server
        server.write(bytes(self._early))

    def connection_lost(self, _: Exception | None) -> None:
        if self.server is not None:
            self.server.close()


class _Server(asyncio.Protocol):
    """The connection to the server, on behalf of one client."""

    def __init__(self, proxy: _Proxy, client: _Client) -> None:
        self._proxy = proxy
        self._client = client
        self._held: deque[bytes] = deque()

    def connection_made(self, transport: Any) -> None:
        self._client.begin(transport)

    def data_received(self, data: bytes) -> None:
        self._held.append(data)
        asyncio.get_running_loop().call_later(self._proxy.delay_s, self._release)

    def _release(self) -> None:
        piece, client = self._held.popleft(), self._client.transport
        if not client.is_closing():
            client.write(piece)

    def connection_lost(self, _: Exception | None) -> None:
        self._client.transport.close()


async def _serve(endpoint: str) -> None:
    url, loop = urlsplit(endpoint), asyncio.get_running_loop()
    proxy = _Proxy(str(url.hostname), url.port or 80)
    server = await loop.create_server(lambda: _Client(proxy), "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    while question := await asyncio.to_thread(sys.stdin.readline):
        print(proxy.answer(question, port), flush=True)


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1]))
