"""Keeps the newest log line of each version that still has to be mirrored, on disk.

A log has more lines than fit into memory, so they are in a temporary SQLite file, by name.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import msgspec

from indexer.log.entry import LogEntry
from indexer.log.invalid import LogInvalid
from shared.names import PackageName, parse_name
from shared.publish_errors import InvalidName

NAMES_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Logged:
    """A version's last line in the log. digest: its SHA-256, 64 hex digits. line: None if it is too long.

    is_removed: it is a tombstone.
    """

    digest: str
    line: bytes | None
    is_removed: bool = False

    @classmethod
    def of(cls, entry: LogEntry) -> Self:
        """The line of an entry. Raises LogInvalid."""
        try:
            parse_name(entry.name)  # the name becomes part of paths
            if not isinstance(entry.line, msgspec.Raw):
                return cls(entry.digest, None)
            is_removed = entry.is_tombstone
        except (InvalidName, msgspec.MsgspecError) as error:
            raise LogInvalid(f"the entry of {entry.name!r} {entry.version!r} is no line: {error}") from error
        return cls(entry.digest, bytes(entry.line), is_removed)


class Lines:
    """The waiting lines: the newest of each version."""

    def __init__(self, path: Path) -> None:
        """path: of the temporary file."""
        self._rows = sqlite3.connect(path, isolation_level=None)
        self._rows.execute("PRAGMA journal_mode = MEMORY")
        self._rows.execute("PRAGMA synchronous = OFF")
        self._rows.execute(
            "CREATE TABLE lines (name TEXT, version TEXT, digest TEXT, line BLOB, is_removed INT,"
            " PRIMARY KEY (name, version)) WITHOUT ROWID"
        )

    def close(self) -> None:
        """Release the file."""
        self._rows.close()

    def add(self, entries: Iterable[LogEntry]) -> None:
        """Add lines; each replaces an earlier line of its version. Raises LogInvalid."""
        rows = [
            (entry.name, entry.version, one.digest, one.line, one.is_removed)
            for entry in entries
            for one in [Logged.of(entry)]
        ]
        self._rows.executemany("INSERT OR REPLACE INTO lines VALUES (?, ?, ?, ?, ?)", rows)

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Keep the lines that are added in this block only if it succeeds."""
        self._rows.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._rows.execute("ROLLBACK")
            raise
        self._rows.execute("COMMIT")

    def count(self) -> int:
        """The number of waiting packages."""
        [[count]] = self._rows.execute("SELECT count(DISTINCT name) FROM lines")
        return int(count)

    def names(self) -> Iterator[PackageName]:
        """The waiting packages, in byte order. Some may be removed meanwhile."""
        last = ""
        while page := self._rows.execute(
            "SELECT DISTINCT name FROM lines WHERE name > ? ORDER BY name LIMIT ?", (last, NAMES_AT_ONCE)
        ).fetchall():
            for [last] in page:
                yield PackageName(last)

    def of(self, name: PackageName) -> dict[str, Logged]:
        """The lines of a package, by version."""
        rows = self._rows.execute(
            "SELECT version, digest, line, is_removed FROM lines WHERE name = ?", (name,)
        )
        return {version: Logged(digest, line, bool(gone)) for version, digest, line, gone in rows}

    def forget(self, name: PackageName) -> None:
        """Remove the lines of a package that is mirrored."""
        self._rows.execute("DELETE FROM lines WHERE name = ?", (name,))

    def clear(self) -> None:
        """Forget everything."""
        self._rows.execute("DELETE FROM lines")
