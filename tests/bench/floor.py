"""The lower bound of a publish: only its transactions and its object writes, one after another.

The statements and files are those of api/write/publish.py and indexer/package_puts.py, in their order,
without HTTP, checks, queue or threads. Files are synced as these modules sync them.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from shared.names import parse_name, shard_path
from tests.archives import hello_manifest

LOCK = "SELECT pg_advisory_xact_lock(hashtext($1))"
FIND_TOKEN = (
    "SELECT t.id, t.scopes, u.id AS user_id, u.handle FROM tokens t JOIN users u ON u.id = t.user_id "
    "WHERE t.token_hash = $1 AND t.revoked_at IS NULL"
)
FIND_PACKAGE = "SELECT id, name, latest_version FROM packages WHERE name = $1"
ADD_PACKAGE = "INSERT INTO packages (name, created_by) VALUES ($1, $2) RETURNING id"
ADD_OWNER = "INSERT INTO package_owners (package_id, user_id) VALUES ($1, $2)"
IS_PUBLISHED = "SELECT EXISTS (SELECT FROM package_versions WHERE package_id = $1 AND version = $2)"
ADD_VERSION = (
    "INSERT INTO package_versions (package_id, version, cksum, manifest, published_by, signature_kind, "
    "signature_key_id, signature_bytes) VALUES ($1, $2, $3, $4, $5, 'ed25519', 'key', $6)"
)
ADD_STATE = "INSERT INTO version_state (package_id, version) VALUES ($1, $2)"
SET_LATEST = "UPDATE packages SET latest_version = $2 WHERE id = $1"
ADD_EVENT = (
    "INSERT INTO audit_events (actor_user_id, action, package_name, package_version) "
    "VALUES ($1, 'publish', $2, $3)"
)
RAISE = "INSERT INTO index_state (package_id, dirty_since) VALUES ($1, now()) RETURNING generation"
LOCK_STATE = (
    "SELECT p.id, p.name, s.generation FROM index_state s JOIN packages p ON p.id = s.package_id "
    "WHERE p.name = $1 FOR UPDATE OF s"
)
READ_VERSIONS = (
    "SELECT v.*, s.staged, s.metadata_digest FROM package_versions v "
    "LEFT JOIN version_state s USING (package_id, version) WHERE v.package_id = $1"
)
READ_ADVISORIES = "SELECT * FROM package_version_advisories WHERE package_id = $1 AND withdrawn_at IS NULL"
MARK_VERSION = (
    "UPDATE version_state SET staged = false, metadata_digest = $3 WHERE package_id = $1 AND version = $2"
)
ADD_CHANGE = "INSERT INTO catalog_changes (package_id) VALUES ($1)"
MARK_PACKAGE = (
    "UPDATE index_state SET published_generation = generation, catalog_line = $2, published_at = now(), "
    "dirty_since = NULL WHERE package_id = $1"
)
PUT_LISTING = (
    "INSERT INTO package_listings (package_id, name, latest_version, is_official, description, "
    "modules_count, facets, archetypes) VALUES ($1, $2, $3, false, 'Says hello.', 1, '{}', '{}')"
)
DROP_REQUIREMENTS = "DELETE FROM package_requirements WHERE package_id = $1"
PUT_SEARCH_NAME = "INSERT INTO search_names (name, scale_tested) VALUES ($1, false)"


class Floor:
    """One connection and one directory; publishes one first version at a time."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record], root: Path, user_id: UUID) -> None:
        """connection: to a migrated database. root: an empty directory."""
        self._connection = connection
        self._root = root
        self._user_id = user_id
        self._prepared: dict[str, Any] = {}
        for folder in ("tmp", "staging", "dl", "index"):
            (root / folder).mkdir()

    async def publish(self, name: str, version: str, archive: bytes) -> None:
        """Do all the work of one publish, until the mark is committed."""
        connection = self._connection
        digest = hashlib.sha256(archive).hexdigest()
        upload = self._root / "tmp" / digest
        upload.write_bytes(archive)
        async with connection.transaction():
            await self._run(FIND_TOKEN, digest)
        async with connection.transaction():
            await self._run(FIND_PACKAGE, name)
        staged = self._root / "staging" / digest
        self._place(upload, staged, digest)
        async with connection.transaction():
            package_id = await self._insert(name, version, digest)
        async with connection.transaction():
            await self._publish(name, version, package_id, staged)
        staged.unlink()
        _sync(staged.parent)

    async def _insert(self, name: str, version: str, digest: str) -> UUID:
        await self._run(LOCK, name)
        await self._run(FIND_PACKAGE, name)
        package_id: UUID = (await self._run(ADD_PACKAGE, name, self._user_id))[0]["id"]
        await self._run(ADD_OWNER, package_id, self._user_id)
        manifest = json.dumps(hello_manifest(name, version))
        await self._run(ADD_VERSION, package_id, version, digest, manifest, self._user_id, bytes(64))
        await self._run(ADD_STATE, package_id, version)
        await self._run(SET_LATEST, package_id, version)
        await self._run(ADD_EVENT, self._user_id, name, version)
        await self._run(RAISE, package_id)
        return package_id

    async def _publish(self, name: str, version: str, package_id: UUID, staged: Path) -> None:
        await self._run(LOCK_STATE, name)
        await self._run(READ_VERSIONS, package_id)
        await self._run(READ_ADVISORIES, package_id)
        folder = self._root / "dl" / name / version
        link = self._root / "tmp" / f"{name}.link"
        os.link(staged, link)
        self._rename(link, folder / "download")
        self._put(folder / "metadata", b"m" * 900)
        self._put(self._root / "index" / shard_path(parse_name(name)), b"i" * 450)
        await self._run(MARK_VERSION, package_id, version, "0" * 64)
        await self._run(ADD_CHANGE, package_id)
        await self._run(MARK_PACKAGE, package_id, b"c" * 200)
        await self._run(PUT_LISTING, package_id, name, version)
        await self._run(DROP_REQUIREMENTS, package_id)
        await self._run(PUT_SEARCH_NAME, name)

    async def _run(self, sql: str, *values: object) -> Any:
        if sql not in self._prepared:
            self._prepared[sql] = await self._connection.prepare(sql)
        return await self._prepared[sql].fetch(*values)

    def _put(self, target: Path, body: bytes) -> None:
        temporary = self._root / "tmp" / "put"
        temporary.write_bytes(body)
        self._place(temporary, target, hashlib.sha256(body).hexdigest())

    def _place(self, temporary: Path, target: Path, digest: str) -> None:
        os.setxattr(temporary, "user.x07.digest", digest.encode())
        _sync(temporary)
        self._rename(temporary, target)

    def _rename(self, temporary: Path, target: Path) -> None:
        self._make_folder(target.parent)
        temporary.rename(target)
        _sync(target.parent)

    def _make_folder(self, folder: Path) -> None:
        """Create a folder with its parents, and sync each into the one above."""
        if folder.is_dir():
            return
        self._make_folder(folder.parent)
        folder.mkdir()
        _sync(folder.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
