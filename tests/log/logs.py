"""A registry with a log, and the whole log, read and checked by our pure code."""

from __future__ import annotations

import itertools
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from indexer.log.checkpoint import Checkpoint, open_checkpoint
from indexer.log.entry import LogEntry, parse_entry
from indexer.log.note import NoteSigner
from indexer.log.sequencer import Sequencer, open_sequencer
from indexer.log.tiles import Edge, Tile, levels_of, parse_bundle, tiles_of
from indexer.log.tree import leaf_hash
from indexer.parts import Parts
from shared.blobs import CHECKPOINT_KEY, index_key, log_key
from shared.names import PackageName
from shared.settings import Settings
from shared.storage.interface import Found, Storage
from tests.archives import hello_archive
from tests.indexer.upkeep.walks import settle
from tests.stack import Registry, eventually
from worker.process import open_parts

SEED = bytes(range(32))
ORIGIN = "x07.example/log"
SIGNER = NoteSigner(ORIGIN, SEED)
VKEY = str(SIGNER.verifier)
LOGGING: dict[str, Any] = {"log_key_b64": b64encode(SEED).decode(), "log_origin": ORIGIN}


@dataclass(frozen=True)
class WholeLog:
    """A consistent log. entries: all of them, in order. raw: their bytes."""

    head: Checkpoint
    entries: list[LogEntry]
    raw: list[bytes]

    def lines_of(self, name: str, version: str) -> list[dict[str, Any]]:
        """All lines of a version, oldest first."""
        found = [entry for entry in self.entries if (entry.name, entry.version) == (name, version)]
        return [msgspec.json.decode(entry.line) for entry in found]

    def last_digests(self) -> dict[tuple[str, str], str]:
        """The digest of each version's last line."""
        return {(entry.name, entry.version): entry.digest for entry in self.entries}


async def head_of(storage: Storage) -> Checkpoint | None:
    """The published tree head, after checking its signature; None if there is none."""
    found = await storage.get(CHECKPOINT_KEY)
    return open_checkpoint(found.body, [SIGNER.verifier]) if isinstance(found, Found) else None


async def read_log(storage: Storage) -> WholeLog:
    """Read every file of the log; fails unless each tile and the root follow from the entries."""
    head = await head_of(storage)
    assert head is not None
    entries: list[bytes] = []
    for tile in tiles_of(head.size, None):
        entries += parse_bundle(await _body(storage, tile))[: tile.width]
    edge, tiles = Edge().grow([leaf_hash(entry) for entry in entries])
    assert (edge.size, edge.root()) == (head.size, head.root)
    known = {tile.path: body for tile, body in tiles}
    for level in range(levels_of(head.size)):
        for tile in tiles_of(head.size, level):
            assert (await _body(storage, tile))[: 32 * tile.width] == known[tile.path], tile.path
    return WholeLog(head, [parse_entry(entry) for entry in entries], entries)


async def _body(storage: Storage, tile: Tile) -> bytes:
    """A tile's bytes, from the full one if the partial one was removed."""
    for one in (tile, tile.full):
        found = await storage.get(log_key(one.path))
        if isinstance(found, Found):
            return found.body
    raise AssertionError(f"{tile.path} is missing")


async def dump_log(storage: Storage, directory: Path) -> None:
    """Write every file of the log to a directory, for readers of files."""
    async for info in storage.list("log/"):
        found = await storage.get(info.key)
        assert isinstance(found, Found)
        path = directory / info.key.removeprefix("log/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(found.body)


async def index_lines_of(storage: Storage, *names: str) -> dict[tuple[str, str], bytes]:
    """The lines of packages in the index, by name and version."""
    lines: dict[tuple[str, str], bytes] = {}
    for name in names:
        found = await storage.get(index_key(PackageName(name)))
        for line in found.body.splitlines() if isinstance(found, Found) else ():
            lines[name, msgspec.json.decode(line)["version"]] = line
    return lines


async def until_logged(registry: Registry, count: int) -> WholeLog:
    """Wait until the log has this many entries. Returns the log."""

    async def is_there() -> bool:
        head = await head_of(registry.storage)
        return head is not None and head.size >= count

    await eventually(is_there)
    log = await read_log(registry.storage)
    assert len(log.entries) == count
    return log


_firsts = itertools.count(1, 100_000)


def with_log(settings: Settings) -> Settings:
    """The same registry with a log."""
    return Settings(**{**settings.model_dump(exclude_unset=True), **LOGGING})


def sequencer_of(parts: Parts) -> Sequencer:
    """The sequencer of a logging registry."""
    sequencer = open_sequencer(parts.settings, parts.database, parts.storage, parts.notifier)
    assert sequencer is not None
    return sequencer


async def sequence(registry: Registry) -> int:
    """Log all waiting lines, like a worker. Returns the number of entries."""
    async with open_parts(with_log(registry.settings)) as parts:
        return await sequencer_of(parts).run()


async def add_lines(registry: Registry, count: int) -> None:
    """Add this many waiting lines, like publication."""
    first = next(_firsts)
    await registry.rows(
        """
        INSERT INTO log_pending (name, version, entry)
        SELECT 'made', n::text, convert_to(format('{"name":"made","version":"%s","line":{}}', n), 'UTF8')
        FROM generate_series(CAST(:first AS int), CAST(:last AS int)) AS n RETURNING 1
        """,
        first=first,
        last=first + count - 1,
    )


async def log_six_entries(registry: Registry) -> None:
    """Publish three versions of two packages, and yank, restore and yank one; log each change.

    No worker may run.
    """
    publisher = await registry.add_publisher("alice", "publish", "owner.manage")
    await settle(registry)
    await sequence(registry)
    for name, version in (("hello", "0.1.0"), ("hello", "0.2.0"), ("other", "1.0.0")):
        assert (await registry.publish(hello_archive(name, version), publisher)).status_code == 200
    for is_yanked in (True, False, True):
        await settle(registry)
        await registry.http.post(
            "/v1/packages/hello/0.1.0/yank", json={"yanked": is_yanked}, headers=publisher
        )
    await settle(registry)
    assert await sequence(registry) == 6
