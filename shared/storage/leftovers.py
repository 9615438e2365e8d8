"""What a killed process left unfinished: uploads, unpacked modules, blobs before they got their name."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

UNPACKED: Final = "lint-"
"""How the name of a folder begins in which modules are unpacked for a linter."""


def remove_leftovers(folder: Path, older_than_s: float, prefix: str = "") -> int:
    """Remove files of the folder that nobody touched for so long; how many there were. Raises OSError.

    prefix: of their names, where others keep files in the folder too; without it folders of unpacked
    modules go as well.
    """
    removed = 0
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(prefix):
                removed += _is_removed(entry, older_than_s, with_folders=not prefix)
    return removed


def _is_removed(entry: os.DirEntry[str], older_than_s: float, *, with_folders: bool) -> bool:
    """Remove one unfinished file, or folder, if it is that old.

    By its change time, which a hard link renews: a copy in progress keeps the other times of its source.
    """
    with suppress(FileNotFoundError):
        age_s = time.time() - entry.stat(follow_symlinks=False).st_ctime
        if age_s <= older_than_s:
            return False
        if entry.is_file(follow_symlinks=False):
            os.unlink(entry.path)
            return True
        if with_folders and entry.name.startswith(UNPACKED) and entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
            return True
    return False
