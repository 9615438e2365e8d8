"""A client that sends raw bytes as slowly as a test wants, and reads as few as it wants."""

from __future__ import annotations

import asyncio
import re
import socket
from contextlib import suppress
from typing import Self

from shared.host_port import parse_host_port


def head(target: bytes, *lines: bytes, method: bytes = b"GET") -> bytes:
    """A request head."""
    return b"\r\n".join([b" ".join([method, target, b"HTTP/1.1"]), *lines, b"", b""])


class Connection:
    """One connection. Nothing is received until it is read."""

    def __init__(self, sock: socket.socket, patience_s: float = 10.0) -> None:
        """patience_s: how long a read waits for the server."""
        self._socket = sock
        self._patience_s = patience_s
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def open(cls, address: str, *, receive_bytes: int | None = None, patience_s: float = 10.0) -> Self:
        """receive_bytes: size of the kernel's receive buffer."""
        sock = socket.socket()
        sock.setblocking(False)
        if receive_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        await asyncio.get_running_loop().sock_connect(sock, parse_host_port(address))
        return cls(sock, patience_s)

    async def send(self, data: bytes) -> None:
        """Send as much as possible within some time; a closed connection is not an error."""
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(60):
                await self._loop.sock_sendall(self._socket, data)

    async def read(self) -> bytes:
        """The next bytes; empty at the end."""
        async with asyncio.timeout(self._patience_s):
            try:
                return await self._loop.sock_recv(self._socket, 1 << 20)
            except ConnectionError:
                return b""

    async def ask(self, request: bytes) -> bytes:
        """Send a request and return one whole answer, which must have a length."""
        await self.send(request)
        answer = b""
        while (end := answer.find(b"\r\n\r\n") + 4) < 4 or len(answer) < end + _body_bytes(answer[:end]):
            part = await self.read()
            assert part, answer
            answer += part
        return answer

    async def read_all(self) -> bytes:
        """Everything until the end."""
        parts = []
        while part := await self.read():
            parts.append(part)
        return b"".join(parts)

    async def is_ended(self, within_s: float = 10.0) -> bool:
        """True if the server closes within some time; bytes that it sends are read meanwhile."""
        deadline = self._loop.time() + within_s
        while True:
            try:
                if not self._socket.recv(1 << 16):
                    return True
            except BlockingIOError:
                pass
            except ConnectionError:
                return True
            if self._loop.time() >= deadline:
                return False
            await asyncio.sleep(0.01)

    def end(self) -> None:
        """Close the sending side."""
        self._socket.shutdown(socket.SHUT_WR)

    async def is_taken(self, data: bytes) -> bool:
        """True if the server still accepts bytes."""
        try:
            await self._loop.sock_sendall(self._socket, data)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def __del__(self) -> None:
        """Close the connection if the test has not done so."""
        self._socket.close()


def _body_bytes(lines: bytes) -> int:
    length = re.search(rb"content-length: (\d+)", lines)
    return int(length[1]) if length else 0


async def conversation(address: str, data: bytes) -> bytes:
    """Send, and read until the server closes."""
    connection = await Connection.open(address)
    await connection.send(data)
    answer = await connection.read_all()
    connection.close()
    return answer
