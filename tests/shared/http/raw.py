"""A client that sends bytes as they are, as slowly as it likes, and takes as few as it likes."""

from __future__ import annotations

import asyncio
import re
import socket
from contextlib import suppress
from typing import Self


def head(target: bytes, *lines: bytes, method: bytes = b"GET") -> bytes:
    """A request head."""
    return b"\r\n".join([b" ".join([method, target, b"HTTP/1.1"]), *lines, b"", b""])


class Connection:
    """One connection. Nothing is received unless it is read."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def open(cls, address: str, *, receive_bytes: int | None = None) -> Self:
        """receive_bytes: what the kernel may take in for us before we read."""
        host, _, port = address.rpartition(":")
        sock = socket.socket()
        sock.setblocking(False)
        if receive_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        await asyncio.get_running_loop().sock_connect(sock, (host, int(port)))
        return cls(sock)

    async def send(self, data: bytes) -> None:
        """Send as much as goes within a while; a server that hung up is no error."""
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(10):
                await self._loop.sock_sendall(self._socket, data)

    async def read(self) -> bytes:
        """What comes next; empty at the end."""
        async with asyncio.timeout(10):
            try:
                return await self._loop.sock_recv(self._socket, 1 << 20)
            except ConnectionError:
                return b""

    async def ask(self, request: bytes) -> bytes:
        """Send a request, and one whole answer, of known length."""
        await self.send(request)
        answer = b""
        while (end := answer.find(b"\r\n\r\n") + 4) < 4 or len(answer) < end + _body_bytes(answer[:end]):
            part = await self.read()
            assert part, answer
            answer += part
        return answer

    async def read_all(self) -> bytes:
        """All until the end."""
        parts = []
        while part := await self.read():
            parts.append(part)
        return b"".join(parts)

    async def is_ended(self, within_s: float = 10.0) -> bool:
        """True if the server hangs up within a while; what it sent is read meanwhile."""
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

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def __del__(self) -> None:
        """A test need not name every connection that it left."""
        self._socket.close()


def _body_bytes(lines: bytes) -> int:
    length = re.search(rb"content-length: (\d+)", lines)
    return int(length[1]) if length else 0


async def conversation(address: str, data: bytes) -> bytes:
    """Send, and hear until the server hangs up."""
    connection = await Connection.open(address)
    await connection.send(data)
    answer = await connection.read_all()
    connection.close()
    return answer
