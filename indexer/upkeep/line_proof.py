"""Proves that the log has the line that the index shows for a version."""

from __future__ import annotations

from indexer.log.entry import parse_entry
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
    if len(digests) != 1:
        raise LogInvalid(f"the index has {len(digests) or 'no'} lines for {name} {version}")
    head = await reader.head()
    if head is None:
        raise LogInvalid("there is no log here")
    found = await reader.find(name, version, head.size)
    if found is None or parse_entry(found[1]).digest != digests[0]:
        raise LogInvalid(f"the last log entry of {name} {version} is not the line in the index")
    index, entry = found
    proof = TlogProof(entry, index, tuple(await reader.prove_inclusion(index, head.size)), head.note)
    proof.check(reader.keys, reader.origin)
    return proof
