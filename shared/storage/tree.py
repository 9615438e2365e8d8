"""Lists a directory tree in byte order of keys, reading one folder after another."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from shared.storage.keys import is_key


def walk(
    root: Path, prefix: str, after: str = "", *, folder: str = ""
) -> Iterator[tuple[str, os.stat_result]]:
    """Keys with this prefix behind `after`, with the state of their files, in byte order.

    A folder is read when the walk reaches it, and not at all if no key in it can match. Links are not
    followed; names that are not keys are skipped.
    """
    for name, entry in _sorted_entries(root / folder):
        key = f"{folder}{name}"
        if name.endswith("/"):
            if _may_hold(key, prefix, after):
                yield from walk(root, prefix, after, folder=key)
        elif key.startswith(prefix) and is_key(key) and key.encode() > after.encode():
            with suppress(FileNotFoundError):  # deleted since the folder was read
                yield key, entry.stat(follow_symlinks=False)


def scan(root: Path, prefix: str, *, folder: str | None = None) -> Iterator[tuple[str, os.stat_result]]:
    """Keys with this prefix and the state of their files, as the folders give them, in constant memory.

    Links are not followed; names that are not keys are skipped.
    """
    folder = prefix[: prefix.rfind("/") + 1] if folder is None else folder
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(root / folder) as entries:
        for entry in entries:
            key = f"{folder}{entry.name}"
            if not key.startswith(prefix):
                continue
            if entry.is_dir(follow_symlinks=False):
                if is_key(f"{key}/x"):
                    yield from scan(root, prefix, folder=f"{key}/")
            elif entry.is_file(follow_symlinks=False) and is_key(key):
                with suppress(FileNotFoundError):  # deleted since
                    yield key, entry.stat(follow_symlinks=False)


def _sorted_entries(folder: Path) -> list[tuple[str, os.DirEntry[str]]]:
    """Files and folders sorted by name, folders with a slash: `a-b` before `a/`, `a/` before `a0`."""
    named = []
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                named.append((f"{entry.name}/", entry))
            elif entry.is_file(follow_symlinks=False):
                named.append((entry.name, entry))
    return sorted(named, key=lambda item: os.fsencode(item[0]))


def _may_hold(folder: str, prefix: str, after: str) -> bool:
    """True if a key in the folder can have the prefix and come after `after`. folder: ends in a slash."""
    is_wanted = folder.startswith(prefix) or prefix.startswith(folder)
    is_behind = os.fsencode(folder) > os.fsencode(after) or after.startswith(folder)
    return is_wanted and is_behind and is_key(f"{folder}x")
