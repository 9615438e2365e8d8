"""A PgBouncer, as Debian installs it, in front of the Postgres of the tests."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from deploy.local.account import Account, make_private_directory
from deploy.local.child import ChildProcess
from tests.stack import eventually


def find_pgbouncer() -> str | None:
    """Where PgBouncer is, if it is installed; it seldom is on a user's path."""
    return shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


@asynccontextmanager
async def running_pgbouncer(
    sockets: Path, directory: Path, account: Account | None, **settings: str
) -> AsyncIterator[Path]:
    """A PgBouncer before the Postgres in a directory of sockets; the directory of its own socket.

    directory: short, for the socket in it. settings: more lines of its configuration.
    """
    program = find_pgbouncer()
    assert program is not None, "PgBouncer is not installed; run `make pooler-test`"
    make_private_directory(directory, account)
    lines = {
        "auth_type": "any",
        "pool_mode": "transaction",
        "default_pool_size": "2",
        "listen_port": "5432",
        "unix_socket_dir": str(directory),
        **settings,
    }
    configuration = f"[databases]\n* = host={sockets} port=5432 user=postgres\n[pgbouncer]\n"
    configuration += "".join(f"{key} = {value}\n" for key, value in lines.items())
    (directory / "pgbouncer.ini").write_text(configuration)
    with (directory / "log").open("wb") as output:
        command = [program, directory / "pgbouncer.ini"]
        child = ChildProcess(command, death_signal=signal.SIGKILL, account=account, output=output)
    try:
        await eventually(lambda: _listens(child, directory))
        yield directory
    finally:
        await child.stop(signal.SIGTERM, grace_s=5)


async def _listens(child: ChildProcess, directory: Path) -> bool:
    assert child.is_running, (directory / "log").read_text()
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(directory / ".s.PGSQL.5432")) == 0
