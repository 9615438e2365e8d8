"""Embedded Postgres starts anywhere, and again after any kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from deploy.errors import StartFailed
from deploy.local.child import ChildProcess
from deploy.local.home import Home, open_home
from deploy.local.postgres import EmbeddedPostgres
from tests.deploy.processes import is_alive, until

MAKE_TABLE = "CREATE TABLE t AS SELECT 42 AS answer"
ANSWER = "SELECT answer FROM t"
PARENT = """
import asyncio, pathlib, sys
from deploy.local.home import open_home
from deploy.local.postgres import EmbeddedPostgres

async def main():
    with open_home(pathlib.Path(sys.argv[1])) as home:
        async with EmbeddedPostgres(home, durable=False) as postgres:
            print(postgres.pid, flush=True)
            await asyncio.Event().wait()

asyncio.run(main())
"""


def owner_of(pid: int) -> int:
    """The user id of a process."""
    return Path(f"/proc/{pid}").stat().st_uid


async def ask(postgres: EmbeddedPostgres, sql: str) -> object:
    """The first value of a statement's result."""
    connection = await asyncpg.connect(postgres.url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_it_starts_below_a_closed_directory_and_never_as_root(home: Home) -> None:
    """Root's own directories are closed to the user who must run Postgres."""
    async with EmbeddedPostgres(home, durable=False) as postgres:
        assert await ask(postgres, "SELECT 1") == 1
        assert owner_of(postgres.pid) != 0
    assert not is_alive(postgres.pid)


async def test_commits_are_durable_unless_a_test_asks_otherwise(home: Home) -> None:
    """An acknowledged publish must survive a power cut."""
    async with EmbeddedPostgres(home) as postgres:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            assert await ask(postgres, f"SHOW {setting}") == "on"


async def test_a_deep_data_directory_does_not_make_the_socket_path_too_long(closed_dir: Path) -> None:
    """A socket's path has at most 107 bytes; a data directory may have more."""
    with open_home(closed_dir / ("deep" * 20) / ("deep" * 20)) as home:
        async with EmbeddedPostgres(home, durable=False) as postgres:
            assert await ask(postgres, "SELECT 1") == 1


async def test_it_starts_again_after_its_main_process_was_killed(home: Home) -> None:
    """The remaining processes hold its shared memory; they do not prevent the start."""
    async with EmbeddedPostgres(home, durable=False) as postgres:
        await ask(postgres, MAKE_TABLE)
        os.kill(postgres.pid, signal.SIGKILL)
        assert await postgres.ended() == "SIGKILL"
        await postgres.start()
        assert await ask(postgres, ANSWER) == 42


def start_and_kill_a_parent(data_dir: Path) -> int:
    """Run Postgres below a process and kill that process. Returns Postgres's process id."""
    command = [sys.executable, "-c", PARENT, str(data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    return pid


async def test_it_ends_with_its_parent_and_starts_again_on_the_same_directory(closed_dir: Path) -> None:
    """kill -9 of the command that runs it leaves no daemon and no damage."""
    pid = start_and_kill_a_parent(closed_dir)
    until(lambda: not is_alive(pid))
    with open_home(closed_dir) as home:
        async with EmbeddedPostgres(home, durable=False) as postgres:
            assert await ask(postgres, "SELECT 1") == 1


async def test_a_server_that_outlived_its_parent_is_cleared_away(home: Home) -> None:
    """The home is locked, so a server that runs on it is an orphan, whatever started it."""
    first = EmbeddedPostgres(home, durable=False)
    await first.start()
    await ask(first, MAKE_TABLE)
    async with EmbeddedPostgres(home, durable=False) as second:
        assert await first.ended() == "SIGKILL"
        assert await ask(second, ANSWER) == 42


async def test_a_stale_pid_file_that_names_another_process_does_no_harm(home: Home) -> None:
    """After a reboot the number may be any process's."""
    async with EmbeddedPostgres(home, durable=False) as postgres:
        pid_file = home.data_dir / "postgres/data/postmaster.pid"
        lines = pid_file.read_text().splitlines()
    other = ChildProcess(["sleep", "60"], death_signal=signal.SIGKILL, account=home.account)
    pid_file.write_text("\n".join([str(other.pid), *lines[1:], ""]))
    await postgres.start()
    assert await ask(postgres, "SELECT 1") == 1
    assert is_alive(other.pid)
    await postgres.stop()
    await other.stop(grace_s=0)


async def test_an_interrupted_initialisation_is_done_again(home: Home) -> None:
    """A data directory gets its final name only when it is complete."""
    half_made = home.data_dir / "postgres/data.new/base"
    half_made.mkdir(parents=True)
    async with EmbeddedPostgres(home, durable=False) as postgres:
        assert await ask(postgres, "SELECT 1") == 1
    assert not half_made.exists()


async def test_a_failed_start_shows_what_postgres_said(home: Home) -> None:
    """The message contains the reason, so nobody has to look for a log."""
    async with EmbeddedPostgres(home, durable=False) as postgres:
        pass
    (home.data_dir / "postgres/data/PG_VERSION").write_text("9.6\n")
    with pytest.raises(StartFailed, match=r"(?s)postgres ended with exit status 1.*incompatible"):
        await postgres.start()
