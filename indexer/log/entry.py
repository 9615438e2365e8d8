"""Entries of the log: a version's index line, with its name and version. Pure.

An entry is compact JSON: `{"name":…,"version":…,"line":…}`, where the line is, byte for byte, the one of the
index file, or the tombstone of a version that was removed. `published_by` follows where a build published the
version. A bundle cannot hold an entry of more than
65,535 bytes; such a line is represented by its SHA-256 and its length.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from indexer.entry import Lines, render_tombstone
from indexer.log.invalid import LogInvalid
from indexer.log.tiles import MAX_ENTRY_BYTES
from indexer.rows import ChangedLine, PackageRow
from shared.foreign_json import decode_foreign
from shared.names import PackageName
from shared.provenance import Provenance


class LogEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry. line: raw JSON; or instead line_sha256, 64 hex digits, and line_bytes, the line's length."""

    name: str
    version: str
    line: msgspec.Raw | UnsetType = UNSET
    line_sha256: str | UnsetType = UNSET
    line_bytes: int | UnsetType = UNSET
    published_by: Provenance | UnsetType = UNSET

    @property
    def digest(self) -> str:
        """SHA-256 of the line, 64 hex digits."""
        if isinstance(self.line, msgspec.Raw):
            return sha256(self.line).hexdigest()
        return self.line_sha256 if isinstance(self.line_sha256, str) else ""

    @property
    def is_tombstone(self) -> bool:
        """True if the version was removed. Raises msgspec.MsgspecError if the line is none."""
        return isinstance(self.line, msgspec.Raw) and decode_foreign(self.line, _Removal).removed


class _Removal(msgspec.Struct, frozen=True):
    removed: bool = False


def render_entry(name: str, version: str, line: bytes, provenance: Provenance | None = None) -> bytes:
    """The entry of a line, which has no LF."""
    entry = LogEntry(name=name, version=version, line=msgspec.Raw(line), published_by=provenance or UNSET)
    rendered = msgspec.json.encode(entry)
    if len(rendered) <= MAX_ENTRY_BYTES:
        return rendered
    digest = sha256(line).hexdigest()
    return msgspec.json.encode(replace(entry, line=UNSET, line_sha256=digest, line_bytes=len(line)))


def parse_entry(entry: bytes) -> LogEntry:
    """An entry from its bytes. Raises LogInvalid.

    An entry has no line breaks, because its line becomes a line of an index file, and it is UTF-8.
    """
    if b"\n" in entry or b"\r" in entry or not _is_utf8(entry):
        raise LogInvalid("an entry of the log has a line break, or is not UTF-8")
    try:
        parsed = decode_foreign(entry, LogEntry)
    except msgspec.MsgspecError as error:
        raise LogInvalid(f"an entry of the log cannot be read: {error}") from None
    if not parsed.digest:
        raise LogInvalid("an entry of the log has neither a line nor the digest of one")
    return parsed


def _is_utf8(entry: bytes) -> bool:
    try:
        entry.decode()
    except UnicodeDecodeError:
        return False
    return True


def changed_lines(package: PackageRow, lines: Lines) -> Iterator[ChangedLine]:
    """The lines of a package that changed since they were handed to the log, removed versions included.

    lines: as rendered now.
    """
    builds: dict[str, Provenance | None] = {row.version: row.provenance for row in package.versions}
    known: dict[str, bytes | None] = {row.version: row.line_digest for row in package.versions}
    known |= {row.version: row.line_digest for row in package.removed}
    tombstones = {row.version: render_tombstone(package.name, row) for row in package.removed}
    for version, line in (*lines.items(), *tombstones.items()):
        if sha256(line).digest() != known.get(version):
            yield changed_line(package.name, version, line, builds.get(version))


def changed_line(
    name: PackageName, version: str, line: bytes, provenance: Provenance | None = None
) -> ChangedLine:
    """A line to hand to the log. line: without LF."""
    return ChangedLine(name, version, sha256(line).digest(), render_entry(name, version, line, provenance))
