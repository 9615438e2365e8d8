"""Keys of Postgres advisory locks that more than one part uses."""

from __future__ import annotations

import hashlib


def package_lock_key(name: str) -> int:
    """The lock that every write to a package takes first, in the older server too (contract, 8.3)."""
    return _key(f"x07-registry:package:{name}")


def look_alike_lock_key(folded_name: str) -> int:
    """The lock of names that look alike: of two concurrent new ones, the second publish sees the first."""
    return _key(f"x07-registry:look-alike:{folded_name}")


def staging_lock_key(sha256: str) -> int:
    """The lock of staged bytes: shared for publishes that rely on them, exclusive for their removal."""
    return _key(f"x07-registry:staging:{sha256}")


def _key(text: str) -> int:
    """The first 8 bytes of the SHA-256, big-endian and signed."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big", signed=True)
