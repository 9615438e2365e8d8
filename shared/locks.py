"""Keys of Postgres advisory locks that more than one part takes."""

from __future__ import annotations

import hashlib


def package_lock_key(name: str) -> int:
    """Every write to a package takes this lock first, the older server's too (contract, 8.3)."""
    return _key(f"x07-registry:package:{name}")


def staging_lock_key(sha256: str) -> int:
    """Shared by publishes that rely on staged bytes, exclusive for whoever removes them."""
    return _key(f"x07-registry:staging:{sha256}")


def _key(text: str) -> int:
    """The first 8 bytes of the SHA-256, big-endian and signed."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big", signed=True)
