"""A lock that allows one `up` at a time on a data directory."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.errors import StartFailed

LOCK_NAME = "up.lock"


@contextmanager
def lock_directory(directory: Path) -> Iterator[None]:
    """Lock the directory. Raises StartFailed at once if another process holds the lock.

    The kernel releases the lock when the holder ends for whatever reason. The file remains and means nothing
    by itself.
    """
    with (directory / LOCK_NAME).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise StartFailed(
                f"{directory} is in use by process {file.read().strip()}; stop it first"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
