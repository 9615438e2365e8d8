"""The rows of one package in the model's world, and a transaction's lock on them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Hashable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from indexer.queries.marks import Mark
from indexer.rows import AdvisoryRow, PackageRow, PackageState, RemovedRow, VersionRow
from shared.blobs import staging_key
from shared.errors import DatabaseUnavailable
from shared.names import PackageName
from shared.versions import VersionText
from tests.model.storage import NEVER, ModelStorage
from tests.model.world import Actor, Kind, World, current

NAME = PackageName("hello")
PACKAGE_ID = UUID(int=1)


@dataclass(eq=False)
class Transaction:
    """One transaction of an actor. is_open: its connection exists. marks: the changes of its commit."""

    rows: ModelRows
    actor: Actor
    is_open: bool = True
    marks: list[tuple[int, dict[VersionText, str | None]]] = field(default_factory=list)

    async def fetch(self, _: str) -> None:
        """A statement that proves the lock."""
        await self.rows.statement(self, "prove", lambda: None)


class ModelRows:
    """The database's knowledge of the package."""

    def __init__(self, world: World, storage: ModelStorage, description: str) -> None:
        self.world = world
        self._storage = storage
        self._description = description
        self._open: list[Transaction] = []
        self.holder: Transaction | None = None
        self.versions: dict[VersionText, VersionRow] = {}
        self.removed: list[RemovedRow] = []
        self.is_official = False
        self.generation, self.published_generation = 0, 0

    def state(self) -> Hashable:
        """All rows, and the holder of the lock."""
        versions = tuple(
            (row.version, row.yanked, row.staged, row.metadata_digest, bool(row.ever_advised))
            for row in self.versions.values()
        )
        removed = tuple(row.version for row in self.removed)
        holder = self.holder.actor.name if self.holder else None
        return versions, removed, self.is_official, self.generation, self.published_generation, holder

    # The writer's commits, each in one step, while nobody holds the lock.

    def publish(self, version: str) -> None:
        """Stage an archive and add its version."""
        text, body = VersionText(version), f"archive of {version}".encode()
        digest = hashlib.sha256(body).hexdigest()
        self._storage.write(staging_key(digest, None), body, digest=digest)
        manifest = {
            "schema_version": "x07.package@0.1.0",
            "name": NAME,
            "version": version,
            "description": self._description,
            "docs": "Docs.",
            "module_root": "modules",
            "modules": ["hello"],
        }
        self.versions[text] = VersionRow(
            text, digest, False, json.dumps(manifest), published_at=NEVER, staged=True
        )
        self.generation += 1

    def set_yanked(self, version: str, yanked: bool) -> None:
        """Yank or restore a version."""
        self.versions[VersionText(version)] = replace(self.versions[VersionText(version)], yanked=yanked)
        self.generation += 1

    def advise(self, version: str) -> None:
        """Create an advisory about a version."""
        advisory = AdvisoryRow(PACKAGE_ID, "broken", "low", "It fails.", "", None, NEVER)
        row = self.versions[VersionText(version)]
        self.versions[row.version] = replace(row, advisories=(advisory,), ever_advised=(advisory,))
        self.generation += 1

    def set_official(self, is_official: bool) -> None:
        """Make the official account an owner, or remove it; the digests of documents are forgotten."""
        self.is_official = is_official
        self.put_again()

    def remove(self, version: str) -> None:
        """Remove a version for good."""
        row = self.versions.pop(VersionText(version))
        self.removed.append(RemovedRow(row.version, row.cksum))
        self.generation += 1

    def put_again(self) -> None:
        """Stands in for indexer.queries.packages.put_again."""
        self.versions = {
            version: replace(row, metadata_digest=None) for version, row in self.versions.items()
        }
        self.generation += 1

    def package(self) -> PackageRow:
        """The present state of the package."""
        versions = tuple(self.versions.values())
        removed = tuple(self.removed)
        return PackageRow(PACKAGE_ID, NAME, None, self.is_official, self.generation, versions, removed)

    # The queries of publication: the functions of indexer.queries.

    @asynccontextmanager
    async def driver_transaction(self) -> AsyncIterator[Transaction]:
        """Stands in for Database.driver_transaction."""
        tx = Transaction(self, current.get())
        self._open.append(tx)
        try:
            yield tx
            await self.statement(tx, "commit", lambda: self._commit(tx), Kind.COMMIT)
        except OSError:
            raise DatabaseUnavailable from None
        finally:
            self.cut(tx.actor)

    async def statement(self, tx: Transaction, what: str, effect: Any, kind: Kind = Kind.STATEMENT) -> Any:
        """A statement of a transaction. Raises OSError, like a driver, after the transaction was cut off."""

        def checked() -> Any:
            return effect() if tx.is_open else DatabaseUnavailable()

        result = await self.world.request(what, checked, kind)
        if isinstance(result, DatabaseUnavailable):
            raise ConnectionError
        return result

    def cut(self, actor: Actor) -> None:
        """End an actor's transaction, which releases its lock."""
        for tx in [tx for tx in self._open if tx.actor is actor]:
            tx.is_open = False
            self._open.remove(tx)
            if self.holder is tx:
                self.holder = None

    def is_open(self, actor: Actor) -> bool:
        """True if the actor has a transaction that can be cut off."""
        return any(tx.actor is actor for tx in self._open)

    async def lock_states(self, tx: Transaction, *_: object) -> list[PackageState]:
        """Stands in for indexer.queries.packages.lock_states."""
        return [await self.statement(tx, "lock and read", lambda: self._read(is_locked=self._lock(tx)))]

    async def mark(self, tx: Transaction, put: Sequence[Mark], _: object, **__: bool) -> bool:
        """Stands in for indexer.queries.marks.mark."""
        [mark] = put
        await self.statement(tx, "mark", lambda: tx.marks.append((mark.generation, dict(mark.digests))))
        return False

    def _read(self, *, is_locked: bool) -> PackageState:
        return PackageState(self.package(), self.published_generation, None, None, is_locked)

    def _lock(self, tx: Transaction) -> bool:
        if self.holder is not None:
            return False
        self.holder = tx
        return True

    def _commit(self, tx: Transaction) -> None:
        for generation, digests in tx.marks:
            self.published_generation = generation
            for version, digest in digests.items():
                if version in self.versions:
                    row = replace(self.versions[version], staged=False, metadata_digest=digest)
                    self.versions[version] = row
