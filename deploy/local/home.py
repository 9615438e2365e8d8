"""Shared by the local servers: a locked data directory, and a directory for sockets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.account import Account, server_account
from deploy.local.directory_lock import lock_directory
from deploy.local.sockets import socket_directory


@dataclass(frozen=True, slots=True)
class Home:
    """A locked data directory. Its holder may remove files that a killed process left there.

    sockets: a private, short-lived directory. account: runs the servers; None: the current user.
    """

    data_dir: Path
    sockets: Path
    account: Account | None


@contextmanager
def open_home(data_dir: Path) -> Iterator[Home]:
    """Create the directory if missing, and lock it. Raises StartFailed, OSError."""
    data_dir.mkdir(parents=True, exist_ok=True)
    data_dir = data_dir.resolve()
    account = server_account()
    with lock_directory(data_dir), socket_directory(data_dir, account) as sockets:
        yield Home(data_dir, sockets, account)
