"""A registry's published tree with a log, made without a database: the origin of a benchmark's mirrors."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from indexer.log.checkpoint import Checkpoint
from indexer.log.entry import render_entry
from indexer.log.files import bundles_of
from indexer.log.note import NoteSigner
from indexer.log.tiles import TILE_WIDTH, Edge
from indexer.log.tree import leaf_hash
from shared.blobs import (
    CATALOG_KEY,
    CHECKPOINT_KEY,
    CONFIG_KEY,
    archive_key,
    index_key,
    log_key,
    metadata_key,
    package_key,
)
from shared.names import PackageName
from shared.versions import VersionText
from tests.archives import hello_manifest

VERSIONS = ("0.1.0", "0.2.0", "0.3.0")


class BenchOrigin:
    """Files below a root, as readers see them. base: where they are served."""

    def __init__(self, root: Path, base: str, archive_bytes: int) -> None:
        self._root = root
        self._archive_bytes = archive_bytes
        self._signer = NoteSigner("bench.example", bytes(range(32)))
        self._edge = Edge()
        self._last: list[bytes] = []
        self._names: list[str] = []
        self._chance = random.Random(7)
        vkey = str(self._signer.verifier)
        log = {"url": f"{base}/log/", "vkey": vkey}
        self._put(CONFIG_KEY, json.dumps({"dl": f"{base}/dl/", "api": f"{base}/v1/", "log": log}).encode())

    def publish(self, names: Sequence[str], versions: Sequence[str] = VERSIONS) -> None:
        """Publish these versions of new packages; the checkpoint comes last."""
        entries: list[bytes] = []
        for name in map(PackageName, names):
            lines = [self._version(name, VersionText(version)) for version in versions]
            page = {"ok": True, "name": name, "owners": ["bench"], "versions": list(versions)}
            self._put(package_key(name), json.dumps(page).encode())
            self._put(index_key(name), b"".join(line + b"\n" for line in lines))
            entries += [
                render_entry(name, version, line) for version, line in zip(versions, lines, strict=True)
            ]
        self._names += names
        listed = [
            {"name": name, "is_official": False, "latest": versions[-1]} for name in sorted(self._names)
        ]
        catalog = {"schema_version": "x07.index-catalog@0.1.0", "packages": listed}
        self._put(CATALOG_KEY, json.dumps(catalog, separators=(",", ":")).encode() + b"\n")
        self._log(entries)

    def _version(self, name: PackageName, version: VersionText) -> bytes:
        archive = self._chance.randbytes(self._archive_bytes)
        line = {
            "schema_version": "x07.index-entry@0.1.0",
            "name": name,
            "version": version,
            "cksum": sha256(archive).hexdigest(),
            "yanked": False,
            "docs": "How to use it. " * 12,
        }
        self._put(archive_key(name, version), archive)
        self._put(metadata_key(name, version), json.dumps(hello_manifest(name, version)).encode())
        return json.dumps(line, separators=(",", ":")).encode()

    def _log(self, new: Sequence[bytes]) -> None:
        first = self._edge.size - len(self._last)
        self._edge, tiles = self._edge.grow([leaf_hash(entry) for entry in new])
        entries = [*self._last, *new]
        for tile, bundle in [*bundles_of(first, entries), *tiles]:
            self._put(log_key(tile.path), bundle)
        self._last = entries[len(entries) - self._edge.size % TILE_WIDTH :]
        head = Checkpoint(self._signer.verifier.name, self._edge.size, self._edge.root())
        self._put(CHECKPOINT_KEY, self._signer.sign(head.text()))

    def _put(self, key: str, body: bytes) -> None:
        path = self._root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.new")
        temporary.write_bytes(body)
        temporary.replace(path)
