"""Verification of the transparency log: its tiles, entries and signature, and the index against it.

The index may be ahead of the log for as long as a line takes to be logged, and either may change between two
reads. A difference is therefore checked again, with the entries that arrived meanwhile, before it is
reported.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import msgspec

from indexer.config import published_log
from indexer.log.entry import LogEntry, parse_entry
from indexer.log.invalid import LogInvalid
from indexer.log.reader import Head, LogReader, fetch_from
from indexer.log.sequencer import open_sequencer
from indexer.log.tiles import Edge, Tile
from indexer.log.tree import leaf_hash
from indexer.parts import Parts
from indexer.upkeep.differences import Difference, Kind
from indexer.upkeep.log_index import (
    IndexFile,
    Names,
    PublishedLog,
    index_file_in,
    is_name,
    line_digests,
    names_in,
)
from indexer.upkeep.progress import Progress, pages
from shared.blobs import CHECKPOINT_KEY, CONFIG_KEY, index_key, log_key
from shared.errors import LogDiverged
from shared.foreign_json import decode_foreign
from shared.names import PackageName

PACKAGES_AT_ONCE: Final = 16
PACKAGES_PER_PAGE: Final = 256
# A line is in the log within this time of its publication.
LOGGED_WITHIN_S: Final = 10.0
PAUSE_S: Final = 0.5


@dataclass(slots=True)
class _Version:
    """The log's state of a version. digest: of its last line. earlier: digests of its earlier lines."""

    digest: str
    is_removed: bool
    earlier: set[str] | None = None


@dataclass(slots=True)
class LogVerification:
    """Compares a log with itself and with the index. names, index_file: read the index.

    published: reads the key that config.json names.
    It keeps what it has read, so that a monitor can continue from there.
    """

    reader: LogReader
    names: Names
    index_file: IndexFile
    published: PublishedLog
    progress: Progress
    size: int = 0
    _edge: Edge = field(default_factory=Edge)
    _versions: dict[str, dict[str, _Version]] = field(default_factory=dict)
    _changed: set[str] = field(default_factory=set)

    async def run(self) -> AsyncIterator[Difference]:
        """Compare everything; yields every difference. Raises StorageUnavailable, StorageFailed."""
        async for difference in self._walk(is_whole=True):
            yield difference

    async def run_on(self) -> AsyncIterator[Difference]:
        """Compare the entries since the last run, and the index lines of their packages.

        Yields every difference. Raises StorageUnavailable, StorageFailed.
        """
        async for difference in self._walk(is_whole=False):
            yield difference

    async def _walk(self, *, is_whole: bool) -> AsyncIterator[Difference]:
        self._changed.clear()
        try:
            if (head := await self.reader.head()) is None:
                raise LogInvalid("there is no log here")
        except LogInvalid as error:
            yield _wrong("checkpoint", str(error))
            return
        async for difference in self._log_to(head):
            yield difference
        known = set(self._changed)
        if is_whole:
            for difference in await self._key():
                yield difference
            known |= set(self._versions) | {name async for name in self.names() if is_name(name)}
        async for difference in self._index(known):
            yield difference

    async def _key(self) -> Iterable[Difference]:
        """What is wrong with the key that config.json names, from which new readers take it."""
        try:
            log = await self.published()
        except LogInvalid as error:
            return [Difference(Kind.WRONG_LOG, CONFIG_KEY, str(error))]
        if log is None:
            return [Difference(Kind.WRONG_LOG, CONFIG_KEY, "it names no log")]
        if log.vkey not in map(str, self.reader.keys):
            return [Difference(Kind.WRONG_LOG, CONFIG_KEY, f"it names another key of the log, {log.vkey}")]
        return ()

    async def _log_to(self, head: Head) -> AsyncIterator[Difference]:
        """Read the entries that were not read yet, and compare the tiles that follow from them."""
        self.progress.begin("entries of the log", head.size - self._edge.size)
        try:
            async for first, entries in self.reader.entries(self._edge.size, head.size):
                edge, tiles = self._edge.grow([leaf_hash(entry) for entry in entries])
                for tile, body in [one for one in tiles if one[0].is_full]:
                    async for difference in self._tile(tile, body):
                        yield difference
                for index, entry in enumerate(entries, first):
                    for difference in self._entry(index, entry):
                        yield difference
                self._edge = edge
                self.progress.advance(len(entries))
        except LogInvalid as error:
            yield _wrong("tile/entries", str(error))
            return
        for tile, body in self._edge.partial_tiles():
            async for difference in self._tile(tile, body):
                yield difference
        self.size = head.size
        if self._edge.root() != head.root:
            yield _wrong("checkpoint", f"the root of the {head.size} entries is not the signed one")

    async def _tile(self, tile: Tile, expected: bytes) -> AsyncIterator[Difference]:
        try:
            body = await self.reader.tile(tile)
        except LogInvalid as error:
            yield _wrong(tile.path, str(error))
            return
        if body != expected:
            yield _wrong(tile.path, "its hashes are not those of the entries")

    def _entry(self, index: int, entry: bytes) -> Iterable[Difference]:
        """Note the version and line of an entry. Returns its differences."""
        where = f"tile/entries (entry {index})"
        try:
            parsed = parse_entry(entry)
        except LogInvalid as error:
            return [_wrong(where, str(error))]
        if not is_name(parsed.name):
            return [_wrong(where, f"{parsed.name!r} is not a name of a package")]
        line = _named_in(parsed)
        known = self._versions.setdefault(parsed.name, {})
        before = known.get(parsed.version)
        known[parsed.version] = now = _Version(parsed.digest, line is not None and line.removed)
        if before is not None:
            now.earlier = before.earlier or set()
            now.earlier.add(before.digest)
        self._changed.add(parsed.name)
        is_right = line is not None and (line.name, line.version) == (parsed.name, parsed.version)
        return () if is_right else [_wrong(where, "its line is of another version")]

    async def _index(self, known: Collection[str]) -> AsyncIterator[Difference]:
        """Compare the index files of packages with the log's entries."""
        self.progress.begin("packages", len(known))
        doubtful: list[str] = []
        for some in pages(sorted(known), PACKAGES_PER_PAGE):
            for name, found in zip(some, await self._compare_all(some, refresh=False), strict=True):
                if found:
                    doubtful.append(name)
            self.progress.advance(len(some))
        async for difference in self._look_again(doubtful):
            yield difference

    async def _look_again(self, doubtful: list[str]) -> AsyncIterator[Difference]:
        """The differences that remain after every line had time to be logged."""
        deadline, found = time.monotonic() + LOGGED_WITHIN_S, dict[str, list[Difference]]()
        while doubtful:
            head = await self.reader.head()
            if head is not None and head.size > self.size:
                async for difference in self._log_to(head):
                    yield difference
            results = await self._compare_all(doubtful, refresh=True)
            found = {name: wrong for name, wrong in zip(doubtful, results, strict=True) if wrong}
            doubtful = list(found)
            if not doubtful or time.monotonic() > deadline:
                break
            await asyncio.sleep(PAUSE_S)
        for wrong in found.values():
            for difference in wrong:
                yield difference

    async def _compare_all(self, names: Iterable[str], *, refresh: bool) -> list[list[Difference]]:
        gate = asyncio.Semaphore(PACKAGES_AT_ONCE)

        async def one(name: str) -> list[Difference]:
            async with gate:
                return await self._compare(name, refresh=refresh)

        return await asyncio.gather(*map(one, names))

    async def _compare(self, name: str, *, refresh: bool) -> list[Difference]:
        """The differences between a package's index file and the log."""
        key = index_key(PackageName(name))
        lines = line_digests(await self.index_file(key, refresh) or b"")
        logged = self._versions.get(name, {})
        found = [
            Difference(kind, key, detail, name, version)
            for version, digest in lines
            if (wrong := _wrong_line(digest, logged.get(version))) is not None
            for kind, detail in [wrong]
        ]
        shown = Counter(version for version, _ in lines)
        found += [
            Difference(Kind.UNLIKE_LOG, key, f"the index has {count} lines of it", name, version)
            for version, count in shown.items()
            if count > 1
        ]
        hidden = (version for version, one in logged.items() if not one.is_removed and version not in shown)
        found += [
            Difference(Kind.HIDDEN, key, "the log has it, but the index does not show it", name, version)
            for version in hidden
        ]
        return found


async def differences_of_log(parts: Parts, progress: Progress) -> AsyncIterator[Difference]:
    """The differences of storage's log from the signed one, and of the index from the log, if there is a log.

    Raises StorageUnavailable, StorageFailed, DatabaseUnavailable.
    """
    sequencer = open_sequencer(parts.settings, parts.database, parts.storage, parts.notifier)
    if sequencer is None:
        return
    try:
        await sequencer.check()
    except LogDiverged as error:
        yield _wrong("checkpoint", error.message)
        return
    reader = LogReader(fetch_from(parts.storage), [sequencer.signer.verifier])
    names = names_in(parts.storage, parts.settings.private_namespaces)
    index_file, published = index_file_in(parts.storage), partial(published_log, parts.storage)
    walk = LogVerification(reader, names, index_file, published, progress)
    async for difference in walk.run():
        yield difference


class _Named(msgspec.Struct, frozen=True):
    name: str
    version: str
    removed: bool = False


def _wrong_line(digest: str, logged: _Version | None) -> tuple[Kind, str] | None:
    """What is wrong with a line in the index; None if it is the log's last one."""
    if logged is None:
        return Kind.NOT_LOGGED, "the index shows it, but the log does not have it"
    if digest == logged.digest:
        return None
    if logged.is_removed:
        return Kind.UNLIKE_LOG, "the log says that it was removed"
    if digest in (logged.earlier or ()):
        return Kind.UNLIKE_LOG, "it was rolled back: the log has a newer line"
    return Kind.UNLIKE_LOG, "its line was changed: the log never had it"


def _named_in(entry: LogEntry) -> _Named | None:
    """The name and version in an entry's line; those of the entry if the log has only the line's digest."""
    if not isinstance(entry.line, msgspec.Raw):
        return _Named(entry.name, entry.version)
    try:
        return decode_foreign(entry.line, _Named)
    except msgspec.MsgspecError:
        return None


def _wrong(path: str, detail: str) -> Difference:
    key = CHECKPOINT_KEY if path == "checkpoint" else log_key(path)
    return Difference(Kind.WRONG_LOG, key, detail)
