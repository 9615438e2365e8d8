"""One body that an answer can carry: a blob itself, or a compressed variant of it (RFC 9110, 3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from shared.encodings import Coding
from shared.storage.interface import BlobInfo, Found


@dataclass(frozen=True, slots=True)
class Representation:
    """A body and its validator. info.digest is always known.

    body: None when it is not in memory and must be streamed from storage. coding: None for identity.
    """

    info: BlobInfo
    etag: str
    body: bytes | None
    coding: Coding | None = None

    @classmethod
    def of(cls, found: Found, coding: Coding | None = None) -> Self:
        """A representation whose body is in memory."""
        return cls(found.info, f'"{found.digest}"', found.body, coding)

    @classmethod
    def described(cls, info: BlobInfo, coding: Coding | None = None) -> Self:
        """A representation whose body stays in storage."""
        return cls(info, f'"{info.digest}"', None, coding)

    @property
    def size_bytes(self) -> int:
        """Length of the body."""
        return self.info.size_bytes
