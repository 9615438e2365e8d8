"""Monitors a log: remembers a checkpoint, and demands that every later one continues its history."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import msgspec

from indexer.log.checkpoint import open_checkpoint
from indexer.log.entry import parse_entry
from indexer.log.invalid import LogInvalid
from indexer.log.reader import Head, LogReader
from indexer.log.tiles import Edge
from indexer.log.tree import leaf_hash

# Caches may show an older checkpoint for a while. If it is still shown after this time, the log was rolled
# back.
STALE_FOR_S: Final = 10.0
PAUSE_S: Final = 1.0
IN_MEMORY_BYTES: Final = 8 << 20


class Forked(Exception):
    """The log does not prove that it continues the history seen before. Both checkpoints are kept."""


@dataclass(frozen=True, slots=True)
class Monitor:
    """Follows one log. state: the file with the checkpoint that was seen last."""

    reader: LogReader
    state: Path

    async def look(self, out: IO[str]) -> int:
        """Check the log and write its new entries, one line of JSON each. Returns how many there are.

        Raises LogInvalid for a log that is malformed or not signed, Forked for another history.
        """
        known = self.known()
        seen = await self._newest(known)
        if known is not None and seen.size == known.size and seen.root == known.root:
            return 0
        with tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES, "w+", encoding="utf-8") as spool:
            count = await self._follow(known, seen, spool)
            spool.seek(0)
            shutil.copyfileobj(spool, out)
        out.flush()
        self._remember(seen)
        return count

    def known(self) -> Head | None:
        """The checkpoint that was seen last; None the first time. Raises LogInvalid."""
        if not self.state.exists():
            return None
        note = self.state.read_bytes()
        return Head(open_checkpoint(note, self.reader.keys, self.reader.origin), note)

    async def _newest(self, known: Head | None) -> Head:
        """The present checkpoint. If it is older than the known one, ask again for a while."""
        for _ in range(int(STALE_FOR_S / PAUSE_S)):
            seen = await self._head()
            if known is None or seen.size >= known.size:
                return seen
            await asyncio.sleep(PAUSE_S)
        seen = await self._head()
        if known is not None and seen.size < known.size:
            self._keep_evidence(known, seen)
            raise Forked(f"the log was rolled back, from {known.size} entries to {seen.size}")
        return seen

    async def _head(self) -> Head:
        head = await self.reader.head()
        if head is None:
            raise LogInvalid("there is no log here")
        return head

    async def _follow(self, known: Head | None, seen: Head, out: IO[str]) -> int:
        """Write the entries between two checkpoints, and check that they lead from one to the other."""
        if known is not None and known.size == seen.size:
            self._keep_evidence(known, seen)
            raise Forked(f"the log signed two roots of {seen.size} entries")
        edge = Edge() if known is None else await self._edge_of(known, seen)
        begun = edge.size
        async for first, entries in self.reader.entries(begun, seen.size):
            edge, _ = edge.grow([leaf_hash(entry) for entry in entries])
            for index, entry in enumerate(entries, first):
                out.write(f"{_line_of(index, entry)}\n")
        if edge.root() != seen.root:
            cause = f"the {seen.size} entries of the log do not lead to the root that was signed"
            if known is None:
                raise LogInvalid(cause)
            self._keep_evidence(known, seen)
            raise Forked(cause)
        return seen.size - begun

    async def _edge_of(self, known: Head, seen: Head) -> Edge:
        """The right edge of the known tree, read from the log. Raises Forked if the log has another one."""
        try:
            return await self.reader.edge_at(known.checkpoint)
        except LogInvalid as error:
            self._keep_evidence(known, seen)
            raise Forked(str(error)) from error

    def _remember(self, seen: Head) -> None:
        """Replace the state atomically."""
        temporary = self.state.with_name(f".{self.state.name}.new")
        temporary.write_bytes(seen.note)
        os.replace(temporary, self.state)

    def _keep_evidence(self, known: Head, seen: Head) -> None:
        """Keep both signed checkpoints, which prove the contradiction to anybody."""
        self.state.with_name(f"{self.state.name}.known").write_bytes(known.note)
        self.state.with_name(f"{self.state.name}.contradicts").write_bytes(seen.note)


def _line_of(index: int, entry: bytes) -> str:
    """An entry with its index, as one line of JSON."""
    fields = msgspec.structs.asdict(parse_entry(entry))
    given = {name: value for name, value in fields.items() if value is not msgspec.UNSET}
    return msgspec.json.encode({"index": index, **given}).decode()
