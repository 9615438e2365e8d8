"""A registry of real processes, each of which can be started and killed separately."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

import httpx

from shared.database import Database
from shared.http.authorities import trusted_authorities
from shared.settings import Settings
from shared.storage.opening import open_storage
from shared.variables import variable_of
from tests.deploy.forked_commands import Forked
from tests.stack import Registry, eventually

Kind = Literal["write", "read", "worker"]


class Child(Protocol):
    """A running command."""

    @property
    def is_running(self) -> bool:
        """False after it has ended."""

    async def ended(self) -> str:
        """Wait for the end. Returns how it ended."""

    async def stop(self) -> str:
        """End it with SIGTERM and wait. Returns how it ended."""

    async def kill(self) -> None:
        """End it with SIGKILL."""


Launch = Callable[[Sequence[str], Mapping[str, str], Path], Child]
START_DEADLINE_S = 30.0
SESSIONS = """
SELECT pid, state, wait_event_type, wait_event, pg_blocking_pids(pid) AS blocked_by,
       now() - state_change AS since,
       left(query, 200) AS query
FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
# Time for the processes to write where they are; a paused one does not.
TELLING_S = 1.0
CRASH = "Traceback (most recent call last)"


class Process:
    """One process of a registry. http: a client for it, if it listens."""

    def __init__(self, kind: Kind, child: Child, log: Path) -> None:
        self.kind = kind
        self.child = child
        self.log = log
        self.http = httpx.AsyncClient(timeout=60, verify=trusted_authorities())

    async def until_listening(self) -> None:
        """Wait until it prints its address."""
        url = await eventually(self._url, START_DEADLINE_S)
        self.http = httpx.AsyncClient(base_url=url, timeout=60, verify=trusted_authorities())

    async def _url(self) -> str | None:
        said = [line for line in self.log.read_text().splitlines() if line.startswith("listening ")]
        if not said and not self.child.is_running:
            raise RuntimeError(f"{self.kind} ended: {self.log.read_text()}")
        return f"http://{said[0].split()[1]}" if said else None

    async def until_logged(self, event: str, times: int = 1) -> None:
        """Wait until its log has this event this many times."""
        await eventually(lambda: self._has_logged(event, times), START_DEADLINE_S)

    async def _has_logged(self, event: str, times: int) -> bool:
        return self.log.read_text().count(event) >= times

    async def died(self, deadline_s: float = START_DEADLINE_S) -> str:
        """How it ended by itself."""
        async with asyncio.timeout(deadline_s):
            return await self.child.ended()

    async def kill(self) -> None:
        """End it with SIGKILL."""
        await self.child.kill()

    async def close(self) -> None:
        """End the process and close the client."""
        await self.http.aclose()
        await self.kill()


class Cluster:
    """Processes over one database, queue and tree.

    values: their settings by field name. registry: the test's own access to the data, which bypasses proxies;
    its `http` is not used.
    """

    def __init__(self, values: Mapping[str, Any], registry: Registry, directory: Path) -> None:
        self.values = dict(values)
        self._directory = directory
        self._numbers = itertools.count(1)
        self._processes: list[Process] = []
        self.registry = registry

    async def start(self, kind: Kind, *, launch: Launch = Forked, **overrides: Any) -> Process:
        """Start a process, and wait until a tier listens. overrides: settings by field name.

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
        """The settings of the processes as environment variables."""
        values = {"log_format": "json", **self.values, **overrides}
        return {variable_of(name): str(value) for name, value in values.items()}

    async def start_all(self, *kinds: Kind, **overrides: Any) -> list[Process]:
        """Start several processes at once."""
        return list(await asyncio.gather(*(self.start(kind, **overrides) for kind in kinds)))

    async def strike(self, point: str, *, unless: Callable[[], Awaitable[bool]] | None = None) -> None:
        """Start a worker that kills itself at a point.

        unless: true once no work is left; a worker that has not reached the point is then killed. Without
        unless, the worker must reach it.
        """
        victim = await self.start("worker", test_stop_at=point)

        async def is_over() -> bool:
            return not victim.child.is_running or (unless is not None and await unless())

        await eventually(is_over, START_DEADLINE_S)
        await victim.kill()
        assert await victim.died() == "SIGKILL"

    async def close(self) -> None:
        """End the remaining processes at once."""
        await asyncio.gather(*(process.close() for process in self._processes))

    async def tell(self) -> None:
        """Print for a failed test: each log with the place of every thread, and what Postgres is doing."""
        for process in self._processes:
            if isinstance(process.child, Forked):
                process.child.tell_where()
        await asyncio.sleep(TELLING_S)
        for log in self.logs():
            print(f"--- {log.name}\n{log.read_text(errors='replace')[-6000:]}")
        for row in await self.registry.rows(SESSIONS):
            print(f"--- {row}")

    def logs(self) -> list[Path]:
        """The logs of all processes."""
        return sorted(self._directory.glob("*.log"))

    def crashes(self) -> list[str]:
        """The tracebacks in the logs, which are unexpected errors."""
        return [
            line
            for process in self._processes
            for line in process.log.read_text(errors="replace").splitlines()
            if CRASH in line
        ]


@asynccontextmanager
async def open_cluster(values: Mapping[str, Any], directory: Path, **behind: Any) -> AsyncIterator[Cluster]:
    """A cluster without processes yet. behind: settings for the test itself, which bypass the proxies.

    Fails if a process logged a traceback.
    """
    settings = Settings(**{**values, **behind})
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx.AsyncClient(verify=trusted_authorities()))
        database, storage = Database(settings), await open_storage(settings)
        stack.push_async_callback(database.close)
        stack.push_async_callback(storage.close)
        cluster = Cluster(values, Registry(settings, "", http, database, storage), directory)
        try:
            yield cluster
        finally:
            await cluster.close()
        crashes = cluster.crashes()
        assert crashes == [], "\n".join(crashes)[-6000:]
