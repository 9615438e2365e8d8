"""Byte order from listings of servers that walk folders (SeaweedFS), without reading them whole.

S3 lists keys in byte order: `foo-bar/1`, `foo/1`. A server that walks folders compares segment by
segment: `foo/1`, `foo-bar/1`. The two differ only inside a family: siblings that start with the same
name. So a family is sorted before it is passed on, and a listing resumes where the family begins.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Protocol, TypeVar


class Keyed(Protocol):
    """Whatever is listed by key."""

    @property
    def key(self) -> str:
        """The key."""


T = TypeVar("T", bound=Keyed)


async def in_byte_order(pages: AsyncIterator[Iterable[T]], prefix: str) -> AsyncIterator[T]:
    """The blobs of a listing that is ordered by bytes or by segments, ordered by bytes.

    prefix: of every key. Keeps one family at a time in memory: what starts with the same segment
    behind the last slash of the prefix.
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
    """A key to start a listing behind, so that in either order nothing behind `after` is left out.

    Only characters below the slash set the orders apart, so it is cut there; and one character
    more, because a server that walks folders takes a start of `foo` to be behind all of `foo/`.
    """
    cut = next((at for at, char in enumerate(after) if char < "/"), len(after))
    head = after[:cut]
    return head if head.endswith("/") else head[:-1]


def _segment(key: str, start: int) -> str:
    """The segment that starts there."""
    return key[start:].partition("/")[0]


def _sorted(family: list[T]) -> list[T]:
    return sorted(family, key=lambda blob: blob.key.encode())
