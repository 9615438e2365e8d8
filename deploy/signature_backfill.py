"""Signs versions that were published before there was a key (contract, 9), and reports the result.

The walk goes by name and version, one batch at a time. The versions of one package in a batch are signed in
one transaction under its lock, with one new generation, so that readers see them. A run may be stopped and
started again, and several may run at once; each row is signed once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import groupby
from typing import Final, Protocol

import msgspec
import structlog
from msgspec import UNSET, UnsetType
from sqlalchemy.ext.asyncio import AsyncConnection

from api.write.queries import packages, signatures
from api.write.queries.signatures import UnsignedVersion
from deploy.migrations.runner import migrate
from shared.database import Database
from shared.errors import RegistryError
from shared.messages import Notifier
from shared.settings import Settings
from shared.signing import Signer

COMMAND: Final = "backfill.pkg_signatures"
BATCH: Final = 200
EXIT_FAILED: Final = 1
EXIT_DISABLED: Final = 2


class Walk(Protocol):
    """Receives the progress of the walk."""

    def begin(self, what: str, total: int | None = None) -> None:
        """Note that the walk begins."""

    def advance(self, count: int = 1) -> None:
        """Count more rows as done."""


log = structlog.get_logger()


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a run. backfilled: rows that were signed, or would be in a real run (dry_run)."""

    total_versions: int
    unsigned_before: int
    unsigned_after: int
    backfilled: int
    dry_run: bool
    key_id: str


class Failure(msgspec.Struct, frozen=True):
    """The reason why a run ended early."""

    code: str
    message: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The report that the command prints, with either result or error."""

    ok: bool
    command: str = COMMAND
    result: Result | UnsetType = UNSET
    error: Failure | UnsetType = UNSET


async def report_backfill(
    settings: Settings, *, write: bool, migrate_first: bool, progress: Walk
) -> tuple[Report, int]:
    """Run a backfill. Returns the report to print, and the exit status."""
    signer = settings.signer()
    if signer is None:
        message = "signing is not configured: X07_REGISTRY_PKG_SIGNING_ED25519_SECRET_B64 is not set"
        return Report(ok=False, error=Failure("X07REG_ADMIN_SIGNING_DISABLED", message)), EXIT_DISABLED
    try:
        if migrate_first:
            await migrate(settings)
        result = await _backfill(settings, signer, write=write, progress=progress)
    except RegistryError as error:
        failure = Failure("X07REG_ADMIN_BACKFILL_FAILED", f"{error.message} ({error.code})")
        return Report(ok=False, error=failure), EXIT_FAILED
    return Report(ok=True, result=result), 0


def render_report(report: Report) -> str:
    """Pretty-printed JSON with an indent of two spaces."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode()


async def _backfill(settings: Settings, signer: Signer, *, write: bool, progress: Walk) -> Result:
    database, notifier = Database(settings, is_patient=True), Notifier(settings)
    try:
        total, before = await _count(database)
        backfilled = 0
        progress.begin("unsigned versions", before)
        async for batch in _batches(database):
            if write:
                backfilled += await _sign_all(database, notifier, signer, batch)
            else:
                backfilled += len(batch)
            progress.advance(len(batch))
        _, after = await _count(database)
    finally:
        await notifier.close()
        await database.close()
    return Result(
        total_versions=total,
        unsigned_before=before,
        unsigned_after=after if write else before,
        backfilled=backfilled,
        dry_run=not write,
        key_id=signer.key_id,
    )


async def _count(database: Database) -> tuple[int, int]:
    async with database.transaction() as tx:
        return await signatures.count_versions(tx)


async def _batches(database: Database) -> AsyncIterator[list[UnsignedVersion]]:
    """The unsigned versions, each once. A batch begins after the last row of the previous batch."""
    after = ("", "")
    while True:
        async with database.transaction() as tx:
            batch = await signatures.page_of_unsigned(tx, after, BATCH)
        if not batch:
            return
        yield batch
        after = (batch[-1].name, batch[-1].version)


async def _sign_all(
    database: Database, notifier: Notifier, signer: Signer, batch: list[UnsignedVersion]
) -> int:
    """Sign a batch, package by package. Returns how many rows were signed."""
    signed = 0
    for name, of_package in groupby(batch, key=lambda row: row.name):
        versions = list(of_package)
        async with database.transaction() as tx:
            await packages.lock(tx, name)
            count = sum([await _sign(tx, signer, version) for version in versions])
            generation = await packages.raise_generation(tx, versions[0].package_id) if count else None
        if generation is not None:
            await notifier.wake_worker(name)
            log.info("versions_signed", package=name, versions=count, generation=generation)
        signed += count
    return signed


async def _sign(tx: AsyncConnection, signer: Signer, version: UnsignedVersion) -> bool:
    signature = signer.sign(version.name, version.version, version.cksum)
    return await signatures.sign(tx, version, signer.key_id, signature)
