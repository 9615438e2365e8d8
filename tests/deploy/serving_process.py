"""A running `serve read` or `serve write`, with raw connections to it and measurements."""

from __future__ import annotations

import asyncio
import resource
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shared.settings import PREFIX
from tests.deploy.processes import COMMAND, environment
from tests.shared.http.raw import Connection, head

HOST = b"host: registry.example"
# Many clients ask for much at once, on a machine that may be busy.
PATIENCE_S = 60.0


class ServingProcess:
    """A running `serve`."""

    def __init__(self, process: subprocess.Popen[str], address: str) -> None:
        self._process = process
        self.address = address

    @property
    def most_mib(self) -> float:
        """The peak resident memory so far."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024

    async def open(
        self, count: int, data: bytes = b"", *, receive_bytes: int | None = None
    ) -> list[Connection]:
        """Open connections that each send this and read nothing."""
        opened = []
        for _ in range(count):
            connection = await Connection.open(
                self.address, receive_bytes=receive_bytes, patience_s=PATIENCE_S
            )
            if data:
                await connection.send(data)
            opened.append(connection)
        return opened

    async def get(self, targets: Sequence[str], readers: int = 16) -> None:
        """Request each of the targets, some at a time, and read the answers completely.

        A request that the server is too busy for (503) is sent again.
        """
        left = iter(targets)

        async def read() -> None:
            for target in left:
                while (answer := await self._ask(target)).startswith(b"HTTP/1.1 503"):
                    assert b"\r\nretry-after: " in answer.lower()
                assert answer.startswith(b"HTTP/1.1 200"), answer[:200]

        async with asyncio.TaskGroup() as group:
            for _ in range(readers):
                group.create_task(read())

    async def _ask(self, target: str) -> bytes:
        connection = await Connection.open(self.address, patience_s=PATIENCE_S)
        try:
            await connection.send(head(target.encode(), HOST, b"connection: close"))
            return await connection.read_all()
        finally:
            connection.close()


@contextmanager
def serving_process(role: str, settings: Mapping[str, Any]) -> Iterator[ServingProcess]:
    """Start one with these settings, and the usual limit of open files. role: read or write."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    variables = {f"{PREFIX}{name.upper()}": str(value) for name, value in settings.items()}
    with subprocess.Popen(
        [*COMMAND, "serve", role, "--bind", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment(**variables),
    ) as process:
        try:
            assert process.stdout is not None
            yield ServingProcess(process, process.stdout.readline().split()[1])
        finally:
            process.kill()
