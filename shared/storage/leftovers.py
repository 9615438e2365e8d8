"""Files that a killed process left unfinished: uploads, and blobs before they got their name."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path


def remove_leftovers(folder: Path, older_than_s: float, prefix: str = "") -> int:
    """Remove files of the folder that nobody touched for so long; how many there were. Raises OSError.

    prefix: of their names, where others keep files in the folder too.
    """
    removed = 0
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(prefix):
                removed += _is_removed(entry, older_than_s)
    return removed


def _is_removed(entry: os.DirEntry[str], older_than_s: float) -> bool:
    """Remove one unfinished file if it is that old.

    By its change time, which a hard link renews: a copy in progress keeps the other times of its source.
    """
    with suppress(FileNotFoundError):
        age_s = time.time() - entry.stat(follow_symlinks=False).st_ctime
        if entry.is_file(follow_symlinks=False) and age_s > older_than_s:
            os.unlink(entry.path)
            return True
    return False
