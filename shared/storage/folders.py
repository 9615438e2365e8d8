"""Folders of a tree of blobs: maps keys to paths below the root, and creates folders durably."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from shared.errors import StorageFailed
from shared.storage.flushing import Unflushed

REMEMBERED_FOLDERS: Final = 10_000


class Folders:
    """The folders of one root.

    Paths are str, because pathlib is slow and this runs several times per blob.
    """

    def __init__(self, root: Path) -> None:
        """root: created by the first write."""
        self.root = str(root.absolute())
        self._inside = os.path.join(os.path.realpath(root), "")
        self._settled: set[str] = set()

    def path(self, key: str) -> str:
        """The path of a key. Raises StorageFailed if a symbolic link on the way leads out of the root."""
        path = f"{self.root.rstrip(os.sep)}{os.sep}{key}"
        self.require_inside(key, f"{_real_path(os.path.dirname(path))}{os.sep}")
        return path

    def require_inside(self, key: str, real_path: str) -> None:
        """Raise StorageFailed for a key whose path, without links, is not below the root."""
        if not real_path.startswith(self._inside):
            raise StorageFailed(f"key leaves the storage root: {key!r}")

    def make(self, folder: str, unflushed: Unflushed) -> None:
        """Create a folder and its parents. Raises OSError."""
        missing = []
        while folder not in unflushed.made and not self._is_settled(folder):
            missing.append(folder)
            folder = os.path.dirname(folder)
        for folder in reversed(missing):
            with suppress(FileExistsError):
                os.mkdir(folder)
            unflushed.folders.add(os.path.dirname(folder))
            unflushed.made.add(folder)

    def settle(self, folders: set[str]) -> None:
        """Remember that these folders are on disk."""
        if len(self._settled) >= REMEMBERED_FOLDERS:
            self._settled.clear()
        self._settled |= folders

    def _is_settled(self, folder: str) -> bool:
        """True if the folder exists and is on disk.

        An existing folder may be new and not yet flushed by the process that made it, so each process flushes
        it once. Folders above the root are the operator's and may be unreadable; they are not flushed.
        """
        return os.path.isdir(folder) and (folder in self._settled or _is_below(self.root, folder))


def _is_below(path: str, folder: str) -> bool:
    """True if the path is the folder, or in it."""
    return path == folder or path.startswith(f"{folder.rstrip(os.sep)}{os.sep}")


def _real_path(folder: str) -> str:
    """The folder's path without symbolic links. Asking the kernel costs a tenth of os.path.realpath."""
    try:
        descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return os.path.realpath(folder)
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return os.path.realpath(folder)
    finally:
        os.close(descriptor)
