"""Puts listings of servers that walk folders (SeaweedFS) into byte order, without reading them whole.

S3 lists keys in byte order: `foo-bar/1`, `foo/1`. A server that walks folders compares segment by
segment: `foo/1`, `foo-bar/1`. The orders differ only inside a family: siblings that start with the same
name. Each family is therefore sorted before it is passed on, and a listing resumes at the start of a family.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Protocol, TypeVar


class Keyed(Protocol):
    """Anything that has a key."""

    @property
    def key(self) -> str:
        """The key."""


T = TypeVar("T", bound=Keyed)


async def in_byte_order(pages: AsyncIterator[Iterable[T]], prefix: str) -> AsyncIterator[T]:
    """Sort a listing, which is ordered by bytes or by segments, by bytes.

    prefix: common to every key. One family is in memory at a time: the keys whose next segment after the
    prefix starts with the same name.
    """
    depth = prefix.rfind("/") + 1
    family: list[T] = []
    async for page in pages:
        for blob in page:
            if family and not blob.key.startswith(_segment(family[0].key, depth), depth):
                for member in _sorted(family):
                    yield member
                family = []
            family.append(blob)
    for member in _sorted(family):
        yield member


def start_before(after: str) -> str:
    """A key to start a listing after, so that neither order leaves out a key behind `after`.

    The orders differ only at characters below the slash, so the key is cut there, and one character earlier,
    because a server that walks folders places `foo` after all of `foo/`.
    """
    cut = next((at for at, char in enumerate(after) if char < "/"), len(after))
    head = after[:cut]
    return head if head.endswith("/") else head[:-1]


def _segment(key: str, start: int) -> str:
    """The segment that starts at this position."""
    return key[start:].partition("/")[0]


def _sorted(family: list[T]) -> list[T]:
    return sorted(family, key=lambda blob: blob.key.encode())
