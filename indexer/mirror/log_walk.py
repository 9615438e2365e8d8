"""Mirrors a registry with a log: shows what the log has, and reports where the index differs.

The index may be ahead of the log while a line is being logged, caches may be behind, and files may have been
removed meanwhile. A difference is therefore in doubt first, and is checked again.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

import msgspec

from indexer.log.entry import LogEntry
from indexer.log.reader import Head
from indexer.mirror.lines import Lines, Logged
from indexer.mirror.log_copy import LogCopy, complaints_of
from indexer.mirror.package import Complaint, Packages, parse_lines
from indexer.mirror.wanted import is_wanted
from indexer.upkeep.progress import Progress
from shared.blobs import index_key
from shared.concurrency import for_each
from shared.errors import StorageUnavailable
from shared.names import PackageName

# After this many different packages that cannot be read, and none that can, the origin counts as
# unavailable.
MOST_UNREACHABLE: Final = 10
# A line is in the log within this time of its publication; a difference that lasts longer is wrong.
LATE_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Doubt:
    """A package with a difference. since: monotonic seconds."""

    since: float
    complaints: Sequence[Complaint] = ()


@dataclass(slots=True)
class LogWalk:
    """Copies packages that log entries name. patterns: of names to mirror. jobs: packages at a time."""

    copy: LogCopy
    packages: Packages
    lines: Lines
    progress: Progress
    patterns: Sequence[str]
    jobs: int
    _doubts: dict[PackageName, Doubt] = field(default_factory=dict)
    _unreachable: set[PackageName] = field(default_factory=set)

    async def begin(self, again: Collection[str], *, is_whole: bool) -> None:
        """Queue packages that an earlier run left in doubt. is_whole: all packages of the log."""
        now = time.monotonic()
        wanted = (name for name in again if is_wanted(name, self.patterns))
        self._doubts = {PackageName(name): Doubt(now) for name in wanted}
        if self.copy.size and (again or is_whole):
            async for entries in self.copy.entries():
                self._add([entry for entry in entries if is_whole or entry.name in self._doubts])

    async def run(self, head: Head | None, *, patient: bool) -> None:
        """Copy the entries up to the head, and then every waiting package.

        patient: skip packages that have been in doubt for long. Raises Forked, LogInvalid,
        StorageUnavailable, StorageFailed.
        """
        if head is not None:
            self.progress.begin("entries of the log", head.size - self.copy.size)
            with self.lines.all_or_nothing():
                async for entries in self.copy.grow(head):
                    self._add(entries)
                    self.progress.advance(len(entries))
                    self.packages.copied.entries += len(entries)
        waiting = (name for name in self.lines.names() if not (patient and self._is_late(name)))
        if count := self.lines.count():
            self.progress.begin("packages", count)
            await for_each(waiting, self._package, at_once=self.jobs)
        self.packages.deep = False  # everything was checked; packages that come from now on are new

    def complaints(self, older_than_s: float = 0.0) -> list[Complaint]:
        """The differences that have lasted so long that they count as wrong."""
        since = time.monotonic() - older_than_s
        return [
            complaint
            for doubt in self._doubts.values()
            if doubt.since <= since
            for complaint in doubt.complaints
        ]

    def again(self) -> tuple[str, ...]:
        """The packages that are in doubt."""
        return tuple(sorted(self._doubts))

    def _add(self, entries: Sequence[LogEntry]) -> None:
        wanted = [entry for entry in entries if is_wanted(entry.name, self.patterns)]
        self.lines.add(wanted)
        for entry in wanted if self.copy.held.head else ():
            self._doubts.pop(PackageName(entry.name), None)  # the files in doubt have changed since

    def _is_late(self, name: PackageName) -> bool:
        doubt = self._doubts.get(name)
        return doubt is not None and doubt.since < time.monotonic() - LATE_S

    async def _package(self, name: PackageName) -> None:
        """Copy a package. It stays queued while something is wrong with it."""
        doubt = self._doubts.get(name)
        try:
            complaints = await self._bring(name, is_doubted=doubt is not None)
            self._unreachable.clear()
        except StorageUnavailable as error:
            self._unreachable.add(name)
            if len(self._unreachable) >= MOST_UNREACHABLE:
                raise
            complaints = [Complaint(index_key(name), error.message)]
        if complaints:
            self._doubts[name] = Doubt(time.monotonic() if doubt is None else doubt.since, complaints)
        else:
            self._doubts.pop(name, None)
            self.lines.forget(name)
        self.progress.advance()

    async def _bring(self, name: PackageName, *, is_doubted: bool) -> list[Complaint]:
        """Make the mirror show the log's lines of a package. Returns what is wrong with it at the origin."""
        known, is_deep = self.lines.of(name), self.packages.deep
        shown = await self.packages.lines_of(name)
        removed = [version for version, logged in known.items() if logged.is_removed]
        live = {} if is_deep else {version: _logged(line) for version, line in shown.items()}
        live |= known
        live = {version: logged for version, logged in live.items() if not logged.is_removed}
        if not (is_doubted or is_deep or removed) and _lines(live, {}) == shown:
            return []  # a run that was cut off did this already
        is_cached = not is_doubted and self.copy.held.head is None
        try:
            theirs = parse_lines(await self.packages.origin.index_file(name, refresh=not is_cached) or b"")
        except (msgspec.MsgspecError, StorageUnavailable) as error:
            theirs, wrong = {}, [f"it cannot be read: {error}"]
        else:
            wrong = complaints_of(theirs, {version: one.digest for version, one in live.items()}, removed)
        complaints = [Complaint(index_key(name), detail) for detail in wrong]
        complaints += await self.packages.put(name, _lines(live, theirs), known)
        await self.packages.remove(name, removed)
        return complaints


def _logged(line: bytes) -> Logged:
    return Logged(sha256(line).hexdigest(), line)


def _lines(live: dict[str, Logged], theirs: dict[str, bytes]) -> dict[str, bytes]:
    """The lines of the log. A line that the log has only by digest is read from the origin."""
    found: dict[str, bytes] = {}
    for version, logged in live.items():
        line = logged.line if logged.line is not None else theirs.get(version)
        if line is not None and (logged.line is not None or sha256(line).hexdigest() == logged.digest):
            found[version] = line
    return found
