"""Which text is a key; the one check that both back ends make before they touch anything."""

from __future__ import annotations

from shared.errors import StorageFailed


def require_key(key: str) -> str:
    """The key itself. Raises StorageFailed for one that could leave the store or name a folder."""
    segments = key.split("/")
    if "\\" in key or "\0" in key or any(segment in ("", ".", "..") for segment in segments):
        raise StorageFailed(f"not a storage key: {key!r}")
    return key
