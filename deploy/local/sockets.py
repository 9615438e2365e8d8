"""A short-lived directory with a short path, for the sockets of the embedded servers.

A socket's path has at most 107 bytes, and a data directory may have a longer one. The sockets are therefore
in a new directory under /tmp, and `run` in the data directory is a link to it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.account import Account

LINK_NAME = "run"
PARENT = Path("/tmp")  # noqa: S108 - short on purpose; mkdtemp makes a private directory in it
PREFIX = "x07-registry-"


@contextmanager
def socket_directory(data_dir: Path, account: Account | None) -> Iterator[Path]:
    """A private directory of the account, removed at the end. Also removes one left by a killed process.

    The caller holds the lock of data_dir.
    """
    link = data_dir / LINK_NAME
    _clear_away(link)
    directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=PARENT))
    link.symlink_to(directory)
    if account is not None:
        os.chown(directory, account.uid, account.gid)
    try:
        yield directory
    finally:
        _clear_away(link)


def _clear_away(link: Path) -> None:
    """Remove the link and the directory that it names, if that is one of ours."""
    if not link.is_symlink():
        return
    directory = link.readlink()
    is_ours = directory.parent == PARENT and directory.name.startswith(PREFIX)
    if is_ours and directory.is_dir() and not directory.is_symlink():
        shutil.rmtree(directory)
    link.unlink()
