"""Puts the data of test servers, which need not survive, into memory if there is enough."""

from __future__ import annotations

import shutil
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")
ENOUGH_BYTES = 4 * 1024**3


def servers_directory() -> Path | None:
    """A file system in memory with 4 GiB free, or None for the default place of temporary files.

    Copying a template database takes 15 ms there and 60 to 300 ms on a disk; a run makes 1,400 databases.
    """
    has_room = SHARED_MEMORY.is_dir() and shutil.disk_usage(SHARED_MEMORY).free >= ENOUGH_BYTES
    return SHARED_MEMORY if has_room else None
