"""Refuses to start with a tree on which publication could not work."""

from __future__ import annotations

from contextlib import suppress

from deploy.errors import StartFailed
from shared.settings import Settings
from shared.storage.one_tree import what_is_apart


def require_one_tree(settings: Settings, *, is_written: bool = True) -> None:
    """Raise StartFailed if a folder of the tree is on another file system.

    A disk that is missing or read-only does not prevent the start; readiness reports it.
    """
    if not settings.stores_files:
        return
    with suppress(OSError):
        if wrong := what_is_apart(settings.data_dir.absolute(), is_written=is_written):
            raise StartFailed(f"X07_REGISTRY_DATA_DIR: {wrong}")
