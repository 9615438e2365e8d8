"""Copies the origin's log into the mirror.

The copy only grows. If the origin contradicts it, the run ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

from indexer.log.checkpoint import open_checkpoint
from indexer.log.copying import Held, copy_entries, held_in, put_checkpoint
from indexer.log.entry import LogEntry, parse_entry
from indexer.log.invalid import LogInvalid
from indexer.log.note import VerifierKey
from indexer.log.reader import Fetch, Head, LogReader, fetch_from
from indexer.log.tiles import TILE_HEIGHT, TILE_WIDTH, Edge, Tile, levels_of, tiles_of
from indexer.mirror.origin import Origin
from indexer.mirror.state import keep_evidence
from indexer.upkeep.progress import pages
from indexer.upkeep.web import Answer, Unchanged
from shared.blobs import CHECKPOINT_KEY, log_key
from shared.concurrency import together
from shared.log_paths import TILE_PATH, is_full_bundle
from shared.storage.filesystem import FileSystemStorage
from shared.storage.interface import Found

# Caches may show an older checkpoint for a while. If it is still shown after this time, the log was rolled
# back.
STALE_FOR_S: Final = 10.0
PAUSE_S: Final = 1.0
TILES_PER_PAGE: Final = 256


class Forked(Exception):
    """The origin signed two histories, or took back entries. evidence: the checkpoint that was seen."""

    def __init__(self, message: str, evidence: Path) -> None:
        super().__init__(message)
        self.evidence = evidence


@dataclass(slots=True)
class LogCopy:
    """The mirror's copy of one log. key: of the log. root: of the mirror."""

    origin: Origin
    mirror: FileSystemStorage
    key: VerifierKey
    root: Path
    held: Held = field(default_factory=lambda: Held(None, Edge()))
    known: Head | None = None
    """The last checkpoint in the mirror, which every later one must continue."""

    async def open(self) -> None:
        """Read the mirror's copy. Raises LogInvalid if it is of a log with another key."""
        found = await self.mirror.get(CHECKPOINT_KEY)
        if isinstance(found, Found):
            try:
                self.known = Head(open_checkpoint(found.body, [self.key]), found.body)
            except LogInvalid as error:
                raise LogInvalid(f"the mirror has another log than the origin's: {error}") from error
        self.held = await held_in(self.mirror, self._reader(self.origin.log))

    @property
    def size(self) -> int:
        """How many entries the mirror has."""
        return self.held.edge.size

    def _reader(self, fetch: Fetch) -> LogReader:
        return LogReader(fetch, [self.key])

    async def newest(self, etag: str | None) -> tuple[Head, str | None] | None:
        """The origin's checkpoint with its ETag; None if it is the mirror's own.

        Raises LogInvalid, StorageUnavailable; Forked when it is older, or of another tree of the same size.
        """
        answer = await self.origin.checkpoint(etag)
        for _ in range(int(STALE_FOR_S / PAUSE_S)):
            if self.known is None or not isinstance(answer, Answer):
                break
            if self._head_of(answer).size >= self.known.size:
                break
            await asyncio.sleep(PAUSE_S)
            answer = await self.origin.checkpoint(None, refresh=True)
        if isinstance(answer, Unchanged):
            return None
        if answer is None:
            raise LogInvalid(
                "the origin no longer has a checkpoint" if self.known else "the log has not begun"
            )
        head = self._head_of(answer)
        self._require_no_older(head)
        if self.held.head is not None and self.held.head.note == head.note:
            return None
        return head, answer.etag

    def _head_of(self, answer: Answer) -> Head:
        return Head(open_checkpoint(answer.body, [self.key]), answer.body)

    def _require_no_older(self, seen: Head) -> None:
        known = self.known
        if known is None:
            return
        if seen.size < known.size:
            raise self._forked(seen, f"the log was rolled back, from {known.size} entries to {seen.size}")
        if seen.size == known.size and seen.root != known.root:
            raise self._forked(seen, f"the log signed two trees of {seen.size} entries")

    def _forked(self, seen: Head, message: str) -> Forked:
        return Forked(message, keep_evidence(self.root, seen.note))

    async def grow(self, head: Head) -> AsyncIterator[list[LogEntry]]:
        """Copy the new files, and check every tile. Returns the new entries.

        Files that a run left when it was cut off are reused if they lead to the same root.
        Raises Forked, LogInvalid, StorageUnavailable.
        """
        source = self._reader(self.origin.log if self.held.head else self._resumed())
        try:
            async for _, entries in copy_entries(source, self.mirror, self.held, head):
                yield [parse_entry(entry) for entry in entries]
        except LogInvalid as error:
            await self._forget()
            await self._require_no_fork(head)
            raise LogInvalid(f"{error}; the mirror shows none of it") from error
        if self.held.head is None:  # otherwise the mirror's own tiles led to the new root
            await self._require_no_fork(head)
        await self._require_tiles(head)

    async def entries(self) -> AsyncIterator[list[LogEntry]]:
        """All entries of the mirror's copy."""
        async for _, entries in self._reader(fetch_from(self.mirror)).entries(0, self.size):
            yield [parse_entry(entry) for entry in entries]

    async def finish(self, head: Head) -> None:
        """Put the new checkpoint, when the mirror has everything that it covers."""
        await put_checkpoint(self.mirror, self.held, head)
        self.known = head
        self.held = await held_in(self.mirror, self._reader(self.origin.log))

    def _resumed(self) -> Fetch:
        """Full bundles from the mirror if they exist, the rest from the origin."""
        mine, theirs = fetch_from(self.mirror), self.origin.log

        async def fetch(path: str) -> bytes | None:
            return (is_full_bundle(path) and await mine(path)) or await theirs(path)

        return fetch

    async def _forget(self) -> None:
        """Remove all files that are not of the mirror's own tree, because they do not lead to the head."""
        prefix = log_key("")
        async for info in self.mirror.list(log_key("tile/")):
            path = info.key.removeprefix(prefix)
            if TILE_PATH.fullmatch(path) and not Tile.parse(path).is_of(self.size):
                await self.mirror.delete(info.key)

    async def _require_no_fork(self, head: Head) -> None:
        """Raise Forked unless the origin's tiles lead from the mirror's checkpoint to its own."""
        if self.known is None:
            return
        try:
            await self._reader(self.origin.log).require_consistent(self.known.checkpoint, head.checkpoint)
        except LogInvalid as error:
            raise self._forked(head, f"the log has another history than the mirror: {error}") from error

    async def _require_tiles(self, head: Head) -> None:
        """Raise LogInvalid unless the origin's new tiles follow from the entries."""
        for level in range(levels_of(head.size)):
            first = (self.size >> TILE_HEIGHT * level) // TILE_WIDTH
            new = [tile for tile in tiles_of(head.size, level) if tile.index >= first]
            for some in pages(new, TILES_PER_PAGE):
                for tile, is_right in zip(some, await together(*map(self._is_right, some)), strict=True):
                    if not is_right:
                        raise LogInvalid(
                            f"{log_key(tile.path)} does not follow from the entries; it is skipped"
                        )

    async def _is_right(self, tile: Tile) -> bool:
        """True if the origin's tile follows from the entries."""
        try:
            theirs = await self._reader(self.origin.log).tile(tile)
        except LogInvalid:
            return False
        return theirs == await self._reader(fetch_from(self.mirror)).tile(tile)


def key_of(vkey: str | None, published: str | None, remembered: str | None) -> VerifierKey | None:
    """The key that must have signed the log: the given one, or the one that the mirror began with.

    published: the key in config.json now. None: the origin never had a log. Raises LogInvalid if config.json
    names no log or another key.
    """
    demanded = vkey or remembered
    if demanded is not None and published != demanded:
        named = "no log" if published is None else f"another key, {published}"
        whose = "the given one is" if vkey else "the mirror began with"
        raise LogInvalid(f"config.json names {named}; {whose} {demanded}")
    return None if published is None else VerifierKey.parse(published)


def complaints_of(lines: dict[str, bytes], logged: dict[str, str], removed: Sequence[str]) -> list[str]:
    """What is wrong with the lines of an index file. logged: digests of the log's lines."""
    found: dict[str, str] = {}
    for version, line in lines.items():
        if version in removed:
            found[version] = "the index shows it, but the log says that it was removed"
        elif version not in logged:
            found[version] = "the index shows it, but the log does not have it"
        elif sha256(line).hexdigest() != logged[version]:
            found[version] = "the line in the index is not the log's last one: it was changed or rolled back"
    hidden = (version for version in logged if version not in lines)
    found |= dict.fromkeys(hidden, "the log has it, but the index does not show it")
    return [f"{version}: {detail}" for version, detail in found.items()]
