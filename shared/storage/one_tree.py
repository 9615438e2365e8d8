"""Checks that a tree of blobs is one file system, because blobs get their names by renames."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final
from uuid import uuid4

from shared.storage.keys import TEMPORARY

FOLDERS: Final = ("dl", "index", "log", "staging", TEMPORARY)
"""The folders at the top of a tree."""


def what_is_apart(root: Path, *, is_written: bool = True) -> str | None:
    """A sentence about a folder of the tree that is on another file system, or None.

    is_written: False for a tree that is only read, in which a folder may be a mount but not a link.
    Missing folders are fine. Raises OSError, such as EROFS.
    """
    real_root = os.path.join(os.path.realpath(root), "")
    for name in FOLDERS:
        folder = root / name
        if not os.path.join(os.path.realpath(folder), "").startswith(real_root):
            return f"{folder} is a link that leads out of {root}; move or mount the whole directory instead"
        if is_written and _is_mounted_apart(root, folder):
            return f"{folder} is a mount of its own; mount the whole of {root} instead"
    return None


def _is_mounted_apart(root: Path, folder: Path) -> bool:
    """True if no file of the root can be renamed into the folder.

    The kernel compares the mounts, also two of one disk, before it looks for the file, which does not exist.
    """
    name = f"none-{uuid4().hex}"
    try:
        os.rename(root / name, folder / name)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno == errno.EXDEV:
            return True
        raise
    return False
