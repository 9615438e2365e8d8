"""Checks keys; both back ends do so before they touch anything."""

from __future__ import annotations

from typing import Final

from shared.errors import StorageFailed

TEMPORARY: Final = "tmp"
"""A first segment that no key may have, because a file system store keeps unfinished files below it."""

MAX_KEY_BYTES: Final = 1024
"""The longest key that S3 allows; directories have the same limit."""


def is_key(text: str) -> bool:
    """True for a key that both back ends can hold (see interface.py)."""
    segments = text.split("/")
    if ".." in text or "\\" in text or "\0" in text or "" in segments or "." in segments:
        return False
    return segments[0] != TEMPORARY and _is_unicode(text)


def require_key(key: str) -> str:
    """Return the key. Raises StorageFailed for one that could leave the store or name a folder."""
    if not is_key(key):
        raise StorageFailed(f"not a storage key: {key!r}")
    return key


def require_new_key(key: str) -> str:
    """Return the key if a blob can be put there.

    Raises StorageFailed as require_key does, and if it is too long.
    """
    if len(require_key(key).encode()) > MAX_KEY_BYTES:
        raise StorageFailed(f"a storage key has at most {MAX_KEY_BYTES} bytes")
    return key


def _is_unicode(text: str) -> bool:
    """False for text with lone surrogates, by which Python represents file names that are not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
