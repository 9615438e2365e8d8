"""Proves that the log has the line that the index shows for a version."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from indexer.log.entry import LogEntry, parse_entry
from indexer.log.invalid import LogInvalid
from indexer.log.proof import TlogProof
from indexer.log.reader import LogReader
from indexer.upkeep.log_index import IndexFile, is_name, line_digests
from shared.blobs import index_key
from shared.names import PackageName


async def prove_line(reader: LogReader, index_file: IndexFile, name: str, version: str) -> TlogProof:
    """A proof that the log has the line that the index shows for a version.

    Raises LogInvalid if the index has no such line, or if the log's last entry is another one.
    """
    body = await index_file(index_key(PackageName(name)), True) if is_name(name) else None
    digests = [digest for shown, digest in line_digests(body or b"") if shown == version]
    head = await reader.head()
    if head is None:
        raise LogInvalid("there is no log here")
    found = await reader.find(name, version, head.size)
    if len(digests) != 1:
        told = None if found is None or digests else parse_entry(found[1])
        raise LogInvalid(_why_not_one(name, version, len(digests), told))
    if found is None or parse_entry(found[1]).digest != digests[0]:
        raise LogInvalid(f"the last log entry of {name} {version} is not the line in the index")
    index, entry = found
    proof = TlogProof(entry, index, tuple(await reader.prove_inclusion(index, head.size)), head.note)
    proof.check(reader.keys, reader.origin)
    return proof


def _why_not_one(name: str, version: str, lines: int, last: LogEntry | None) -> str:
    """Why the index has no line, or several, for a version. last: the last entry of one that has no line."""
    with suppress(msgspec.MsgspecError):
        if last is not None and last.is_tombstone:
            return f"{name} {version} was removed"
    return f"the index has {lines or 'no'} lines for {name} {version}"
