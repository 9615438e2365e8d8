"""Evidence that a version was tested at scale: set once, never replaced (contract, 6.5)."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from api.write.package_change import changing, lock_owned, missing_version, record, seen_by_readers
from api.write.principal import Principal
from api.write.queries import packages, versions
from api.write.services import Services
from shared.errors import Conflict
from shared.names import PackageName
from shared.scale import Scale, parse_evidence_ref
from shared.versions import VersionText


@dataclass(frozen=True, slots=True)
class ScaleEvidence:
    """The scale fields of a version. is_visible: readers already see them."""

    scale: Scale
    is_visible: bool


async def set_scale_evidence(
    services: Services, caller: Principal, name: PackageName, version: VersionText, reference: str
) -> ScaleEvidence:
    """Record a reference to evidence. Recording the same reference again changes nothing.

    Raises InvalidScaleEvidence, NotFound (package), Forbidden, NotFound (version), Conflict.
    """
    settings = services.settings
    evidence_ref = parse_evidence_ref(
        reference, settings.scale_evidence_allowed_hosts, settings.scale_evidence_allowed_s3_buckets
    )
    async with changing(services, caller, name) as tx:
        package = await lock_owned(tx, caller, name)
        before = await _scale(tx, package, version)
        if before.evidence_ref not in (None, evidence_ref):
            raise Conflict("scale evidence already set for this version")
        generation = None
        if before.evidence_ref is None:
            await versions.set_scale_evidence(tx, package.id, version, evidence_ref)
            await record(tx, caller, "scale_evidence", package, version, evidence_ref=evidence_ref)
            generation = await packages.raise_generation(tx, package.id)
        after = await _scale(tx, package, version)
    return ScaleEvidence(after, await seen_by_readers(services, package, generation))


async def _scale(tx: AsyncConnection, package: packages.Package, version: VersionText) -> Scale:
    row = await versions.scale_of(tx, package.id, version)
    if row is None:
        raise await missing_version(tx, package, version)
    return Scale(tuple(row.scale_classes_supported), row.scale_tested, row.scale_test_evidence_ref)
