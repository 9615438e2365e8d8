"""A registry of real processes, each started, killed and started again by itself."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

import httpx

from shared.database import Database
from shared.settings import Settings, variable_of
from shared.storage import open_storage
from tests.deploy.forked_commands import Forked
from tests.stack import Registry, eventually

Kind = Literal["write", "read", "worker"]


class Child(Protocol):
    """A running command."""

    @property
    def is_running(self) -> bool:
        """False once it has ended."""

    async def ended(self) -> str:
        """Wait for the end; how it ended."""

    async def stop(self) -> str:
        """Ask it to end, by SIGTERM, and wait; how it ended."""

    async def kill(self) -> None:
        """End it without a warning."""


Launch = Callable[[Sequence[str], Mapping[str, str], Path], Child]
START_DEADLINE_S = 30.0
CRASH = "Traceback (most recent call last)"


class Process:
    """One process of a registry. http: talks to it, if it listens."""

    def __init__(self, kind: Kind, child: Child, log: Path) -> None:
        self.kind = kind
        self.child = child
        self.log = log
        self.http = httpx.AsyncClient(timeout=60)

    async def until_listening(self) -> None:
        """Wait until it says where it listens."""
        url = await eventually(self._url, START_DEADLINE_S)
        self.http = httpx.AsyncClient(base_url=url, timeout=60)

    async def _url(self) -> str | None:
        said = [line for line in self.log.read_text().splitlines() if line.startswith("listening ")]
        if not said and not self.child.is_running:
            raise RuntimeError(f"{self.kind} ended: {self.log.read_text()}")
        return f"http://{said[0].split()[1]}" if said else None

    async def died(self, deadline_s: float = START_DEADLINE_S) -> str:
        """How it ended by itself."""
        async with asyncio.timeout(deadline_s):
            return await self.child.ended()

    async def kill(self) -> None:
        """End it without a warning."""
        await self.child.kill()

    async def close(self) -> None:
        """End it, and the client."""
        await self.http.aclose()
        await self.kill()


class Cluster:
    """Processes over one database, queue and tree.

    values: their settings by field name. registry: what a test does behind their backs, past any proxy;
    its `http` is not used.
    """

    def __init__(self, values: Mapping[str, Any], registry: Registry, directory: Path) -> None:
        self.values = dict(values)
        self._directory = directory
        self._numbers = itertools.count(1)
        self._processes: list[Process] = []
        self.registry = registry

    async def start(self, kind: Kind, *, launch: Launch = Forked, **overrides: Any) -> Process:
        """Start a process; a tier is there when it listens. overrides: settings by field name.

        launch: starts a command of this program, or of another version of it.
        """
        log = self._directory / f"{kind}-{next(self._numbers)}.log"
        arguments = [kind] if kind == "worker" else ["serve", kind, "--bind", "127.0.0.1:0"]
        log.touch()
        process = Process(kind, launch(arguments, self.variables(**overrides), log), log)
        self._processes.append(process)
        if kind != "worker":
            await process.until_listening()
        return process

    def variables(self, **overrides: Any) -> dict[str, str]:
        """The settings of the processes, as environment variables."""
        values = {"log_format": "json", **self.values, **overrides}
        return {variable_of(name): str(value) for name, value in values.items()}

    async def start_all(self, *kinds: Kind, **overrides: Any) -> list[Process]:
        """Start several processes at once."""
        return list(await asyncio.gather(*(self.start(kind, **overrides) for kind in kinds)))

    async def close(self) -> None:
        """End what still runs, at once."""
        await asyncio.gather(*(process.close() for process in self._processes))

    def crashes(self) -> list[str]:
        """The tracebacks in the logs: errors that nobody foresaw."""
        return [
            line
            for process in self._processes
            for line in process.log.read_text(errors="replace").splitlines()
            if CRASH in line
        ]


@asynccontextmanager
async def open_cluster(values: Mapping[str, Any], directory: Path, **behind: Any) -> AsyncIterator[Cluster]:
    """A cluster without a process yet. behind: settings that the test itself uses, past the proxies.

    Fails if a process logged a traceback.
    """
    settings = Settings(**{**values, **behind})
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx.AsyncClient())
        database, storage = Database(settings), await open_storage(settings)
        stack.push_async_callback(database.close)
        stack.push_async_callback(storage.close)
        cluster = Cluster(values, Registry(settings, "", http, database, storage), directory)
        try:
            yield cluster
        except BaseException:
            for log in sorted(directory.glob("*.log")):
                print(f"--- {log.name}\n{log.read_text(errors='replace')[-6000:]}")
            raise
        finally:
            await cluster.close()
        crashes = cluster.crashes()
        assert crashes == [], "\n".join(crashes)[-6000:]
