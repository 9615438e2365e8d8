"""Advisories: warnings about one version, withdrawn but never deleted (contract, 6.4)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

from ada_url import URL
from sqlalchemy.ext.asyncio import AsyncConnection

from api.write.package_change import lock_package, record, require_owner, seen_by_readers
from api.write.principal import Principal
from api.write.queries import advisories, packages, versions
from api.write.queries.advisories import AdvisoryRow
from api.write.services import Services
from shared.errors import AdvisoryInvalid, NotFound
from shared.names import PackageName
from shared.text import trim
from shared.versions import VersionText

MAX_SUMMARY_CHARS: Final = 512
MAX_DETAILS_BYTES: Final = 65_536
MAX_URL_BYTES: Final = 2048

_WEB_URL: Final = re.compile(r"https?://[^\s\x00-\x1f\x7f<>\"\\]+", re.IGNORECASE)


class AdvisoryKind(StrEnum):
    """What is wrong with a version."""

    BROKEN = "broken"
    SECURITY = "security"
    DEPRECATED = "deprecated"


class AdvisorySeverity(StrEnum):
    """How bad it is."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class AdvisoryText:
    """The words of a new advisory, of lengths that the published schema allows. details: blank for none."""

    summary: str
    url: str | None
    details: str


def parse_advisory_text(summary: str, url: str | None, details: str | None) -> AdvisoryText:
    """The trimmed words; blank url and details count as absent. Raises AdvisoryInvalid.

    summary: 1 to 512 characters. details: at most 65,536 bytes. url: http or https, at most 2,048
    bytes, kept as written: a web page may link to it.
    """
    text = AdvisoryText(trim(summary), trim(url or "") or None, trim(details or ""))
    if not text.summary:
        raise AdvisoryInvalid("summary must be non-empty")
    if len(text.summary) > MAX_SUMMARY_CHARS:
        raise AdvisoryInvalid(f"summary must have at most {MAX_SUMMARY_CHARS} characters")
    if text.url is not None:
        _require_web_url(text.url)
    if len(text.details.encode()) > MAX_DETAILS_BYTES:
        raise AdvisoryInvalid(f"details must have at most {MAX_DETAILS_BYTES} bytes")
    return text


async def advisories_of(services: Services, name: PackageName, version: VersionText) -> list[AdvisoryRow]:
    """The advisories of a version, withdrawn ones too, newest first. Raises NotFound."""
    async with services.database.transaction() as tx:
        package = await packages.get(tx, name)
        await _require_version(tx, package, version)
        return await advisories.of_version(tx, package.id, version)


async def create_advisory(
    services: Services,
    caller: Principal,
    name: PackageName,
    version: VersionText,
    kind: AdvisoryKind,
    severity: AdvisorySeverity,
    text: AdvisoryText,
) -> tuple[AdvisoryRow, bool]:
    """Warn about a version; the advisory, and whether readers see it. Raises NotFound, Forbidden."""
    async with services.database.transaction() as tx:
        package = await _lock_version(tx, caller, name, version)
        advisory = await advisories.add(
            tx,
            package.id,
            version,
            kind=kind,
            severity=severity,
            summary=text.summary,
            url=text.url,
            details=text.details,
            created_by=caller.user_id,
        )
        await record(
            tx,
            caller,
            "advisory_created",
            package,
            version,
            advisory_id=str(advisory.id),
            kind=kind,
            severity=severity,
            summary=text.summary,
        )
        generation = await packages.raise_generation(tx, package.id)
    return advisory, await seen_by_readers(services, package, generation)


async def withdraw_advisory(
    services: Services, caller: Principal, name: PackageName, version: VersionText, advisory_id: UUID
) -> tuple[AdvisoryRow, bool]:
    """Take a warning back, for good; again changes nothing. The advisory, and whether readers see it.

    Raises NotFound, Forbidden.
    """
    async with services.database.transaction() as tx:
        package = await _lock_version(tx, caller, name, version)
        advisory = await advisories.find(tx, package.id, version, advisory_id)
        if advisory is None:
            raise NotFound
        generation = None
        if advisory.withdrawn_at is None:
            advisory = await advisories.withdraw(tx, advisory.id, caller.user_id)
            await record(tx, caller, "advisory_withdrawn", package, version, advisory_id=str(advisory.id))
            generation = await packages.raise_generation(tx, package.id)
    return advisory, await seen_by_readers(services, package, generation)


async def _lock_version(
    tx: AsyncConnection, caller: Principal, name: PackageName, version: VersionText
) -> packages.Package:
    """The locked package of an owner or admin, with this version. Raises NotFound, then Forbidden."""
    package = await lock_package(tx, name)
    await _require_version(tx, package, version)
    await require_owner(tx, caller, package)
    return package


async def _require_version(tx: AsyncConnection, package: packages.Package, version: VersionText) -> None:
    if not await versions.is_published(tx, package.id, version):
        raise NotFound


def _require_web_url(text: str) -> None:
    if len(text.encode()) > MAX_URL_BYTES:
        raise AdvisoryInvalid(f"url must have at most {MAX_URL_BYTES} bytes")
    try:
        is_web_url = _WEB_URL.fullmatch(text) is not None and URL(text).hostname != ""
    except ValueError:
        is_web_url = False
    if not is_web_url:
        raise AdvisoryInvalid("url must be an absolute http or https URL")
