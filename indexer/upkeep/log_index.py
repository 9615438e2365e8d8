"""Reads the index that a log is compared with: names of packages, index files, and digests of their lines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from hashlib import sha256

import msgspec

from indexer.config import LogConfig
from indexer.entry import split_lines
from indexer.upkeep.tree_keys import DOCUMENTS, place_of
from shared.foreign_json import decode_foreign
from shared.names import parse_name
from shared.private_names import is_private
from shared.publish_errors import InvalidName
from shared.storage.interface import Found, Storage

Names = Callable[[], AsyncIterator[str]]
"""Called to list the packages in the index."""
IndexFile = Callable[[str, bool], Awaitable[bytes | None]]
"""Called with a key and whether to bypass caches: an index file."""
PublishedLog = Callable[[], Awaitable[LogConfig | None]]
"""Called to read the log that config.json names; raises LogInvalid."""


def names_in(storage: Storage, private: Collection[str]) -> Names:
    """The packages that have an index file in a store, without private ones, which no log has.

    private: patterns of names.
    """

    async def names() -> AsyncIterator[str]:
        async for info in storage.scan("index/"):
            place = place_of(info.key)
            is_file_of_it = place is not None and info.key not in DOCUMENTS and place.version is None
            if place is not None and is_file_of_it and not is_private(place.package, private):
                yield place.package

    return names


def index_file_in(storage: Storage) -> IndexFile:
    """The index files in a store."""

    async def index_file(key: str, refresh: bool) -> bytes | None:
        found = await storage.get(key)
        return found.body if isinstance(found, Found) else None

    return index_file


def is_name(text: str) -> bool:
    """True for a package's name. Only such names become paths, as logs are not trusted."""
    try:
        parse_name(text)
    except InvalidName:
        return False
    return True


def line_digests(body: bytes) -> list[tuple[str, str]]:
    """Version and digest of each line, in order. A version may have several lines if the file is wrong."""
    found: list[tuple[str, str]] = []
    for line in split_lines(body):
        try:
            found.append((decode_foreign(line, _Line).version, sha256(line).hexdigest()))
        except msgspec.MsgspecError:
            found.append((f"(a line that cannot be read: {line[:40]!r})", ""))
    return found


class _Line(msgspec.Struct, frozen=True):
    version: str
