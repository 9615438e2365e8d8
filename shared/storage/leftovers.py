"""Removes what killed processes left: unfinished uploads, unpacked modules, unnamed blobs."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

UNNAMED: Final = "put-"
"""Prefix of the names of blobs that do not have their own name yet."""
LOCKS: Final = "locks"
"""Folder of lock files, whose names have two letters (shared/storage/replacement_locks.py)."""
UNPACKED: Final = "lint-"
"""Prefix of the names of folders in which modules are unpacked for a linter."""


def remove_leftovers(folder: Path, older_than_s: float, prefix: str = "") -> int:
    """Remove files in the folder that were not touched for this long. Returns how many. Raises OSError.

    prefix: of the files' names, for a folder that others use too. Without it, folders of unpacked modules are
    removed as well.
    """
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        if ours := [entry for entry in entries if entry.name.startswith(prefix)]:
            now = touched_at(folder)
            return sum(_is_removed(entry, older_than_s, now, with_folders=not prefix) for entry in ours)
    return 0


def remove_temporary_folder(folder: Path) -> None:
    """Remove a mirror's temporary files, and their folder if nothing of anybody else's is in it.

    Somebody who mirrors to a home directory may have a folder `tmp` there. Errors are ignored.
    """
    for pattern in (f"{UNNAMED}*", f"{LOCKS}/??"):
        for file in folder.glob(pattern):
            with suppress(OSError):
                file.unlink()
    for place in (folder / LOCKS, folder):
        with suppress(OSError):
            place.rmdir()


def touched_at(folder: Path) -> float:
    """The time by the clock of the folder's file system, in seconds since the epoch. Raises OSError."""
    os.utime(folder)
    return folder.stat().st_mtime


def _is_removed(entry: os.DirEntry[str], older_than_s: float, now: float, *, with_folders: bool) -> bool:
    """Remove one unfinished file or folder if it is old enough.

    Its change time counts, because a new hard link updates that; a copy in progress has the other times of
    its source.
    """
    with suppress(FileNotFoundError):
        # Removing another link of the file may have updated its change time since `now`.
        age_s = max(0.0, now - entry.stat(follow_symlinks=False).st_ctime)
        if age_s < older_than_s:
            return False
        if entry.is_file(follow_symlinks=False):
            os.unlink(entry.path)
            return True
        if with_folders and entry.name.startswith(UNPACKED) and entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
            return True
    return False
