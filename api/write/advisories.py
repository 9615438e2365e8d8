"""Advisories: warnings about one version, withdrawn but never deleted (contract, 6.4)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from ada_url import URL
from sqlalchemy.ext.asyncio import AsyncConnection

from api.write.package_change import (
    changing,
    lock_package,
    missing_version,
    record,
    require_owner,
    seen_by_readers,
)
from api.write.principal import Principal
from api.write.queries import advisories, packages, versions
from api.write.queries.advisories import StoredAdvisory
from api.write.services import Services
from shared.advisory import AdvisoryKind, AdvisorySeverity
from shared.errors import AdvisoryInvalid, NotFound, TooManyAdvisories
from shared.names import PackageName
from shared.text import misleading_character, trim
from shared.versions import VersionText

MAX_SUMMARY_CHARS: Final = 512
MAX_DETAILS_BYTES: Final = 65_536
MAX_URL_BYTES: Final = 2048
# Limits per version. Advisories in force are part of its index line; withdrawn ones stay in its list.
MAX_IN_FORCE: Final = 16
MAX_EVER: Final = 100
# Total bytes of summary, details and URL over the advisories in force. One advisory with the longest details
# fits.
MAX_BYTES_IN_FORCE: Final = 72 * 1024
LINE_ENDS_AND_TABS: Final = "\n\r\t"

_WEB_URL: Final = re.compile(r"https?://[^\s\x00-\x1f\x7f<>\"\\]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class AdvisoryText:
    """The texts of a new advisory, within the lengths of the published schema. details: blank for none."""

    summary: str
    url: str | None
    details: str

    @property
    def size_bytes(self) -> int:
        """The bytes of all three texts in UTF-8."""
        return sum(len(text.encode()) for text in (self.summary, self.url or "", self.details))


def parse_advisory_text(summary: str, url: str | None, details: str | None) -> AdvisoryText:
    """Trim and check the texts; blank url and details count as absent. Raises AdvisoryInvalid.

    summary: one line of 1 to 512 characters. details: at most 65,536 bytes. url: http or https, at most
    2,048 bytes, kept as written, because a web page may link to it. No field may contain control characters
    (tabs and line ends are allowed in details) or bidirectional formatting characters.
    """
    text = AdvisoryText(trim(summary), trim(url or "") or None, trim(details or ""))
    if not text.summary:
        raise AdvisoryInvalid("summary must be non-empty")
    if len(text.summary) > MAX_SUMMARY_CHARS:
        raise AdvisoryInvalid(f"summary must have at most {MAX_SUMMARY_CHARS} characters")
    _require_plain("summary", text.summary)
    _require_plain("details", text.details, allowed=LINE_ENDS_AND_TABS)
    if text.url is not None:
        _require_web_url(text.url)
    if len(text.details.encode()) > MAX_DETAILS_BYTES:
        raise AdvisoryInvalid(f"details must have at most {MAX_DETAILS_BYTES} bytes")
    return text


async def create_advisory(
    services: Services,
    caller: Principal,
    name: PackageName,
    version: VersionText,
    kind: AdvisoryKind,
    severity: AdvisorySeverity,
    text: AdvisoryText,
) -> tuple[StoredAdvisory, bool]:
    """Add an advisory to a version. Returns the advisory, and whether readers see it.

    Raises NotFound, Forbidden, TooManyAdvisories.
    """
    async with changing(services, caller, name) as tx:
        package = await _lock_version(tx, caller, name, version)
        await _require_room(tx, package, version, text)
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
        await _record_created(tx, caller, package, version, advisory)
        generation = await packages.raise_generation(tx, package.id)
    return advisory, await seen_by_readers(services, package, generation)


async def _record_created(
    tx: AsyncConnection,
    caller: Principal,
    package: packages.Package,
    version: VersionText,
    advisory: StoredAdvisory,
) -> None:
    await record(
        tx,
        caller,
        "advisory_created",
        package,
        version,
        advisory_id=str(advisory.id),
        kind=advisory.kind,
        severity=advisory.severity,
        summary=advisory.summary,
    )


async def withdraw_advisory(
    services: Services, caller: Principal, name: PackageName, version: VersionText, advisory_id: UUID
) -> tuple[StoredAdvisory, bool]:
    """Withdraw an advisory permanently. Withdrawing it a second time changes nothing.

    Returns the advisory, and whether readers see the change.

    Raises NotFound, Forbidden.
    """
    async with changing(services, caller, name) as tx:
        package = await _lock_version(tx, caller, name, version)
        advisory = await advisories.find(tx, package.id, version, advisory_id)
        if advisory is None:
            raise NotFound("advisory not found")
        generation = None
        if advisory.withdrawn_at is None:
            advisory = await advisories.withdraw(tx, advisory.id, caller.user_id)
            await record(tx, caller, "advisory_withdrawn", package, version, advisory_id=str(advisory.id))
            generation = await packages.raise_generation(tx, package.id)
    return advisory, await seen_by_readers(services, package, generation)


async def _lock_version(
    tx: AsyncConnection, caller: Principal, name: PackageName, version: VersionText
) -> packages.Package:
    """Lock and return the package, which has this version and which the caller owns or administers.

    Raises NotFound, then Forbidden.
    """
    package = await lock_package(tx, name)
    await _require_version(tx, package, version)
    await require_owner(tx, caller, package)
    return package


async def _require_version(tx: AsyncConnection, package: packages.Package, version: VersionText) -> None:
    if not await versions.is_published(tx, package.id, version):
        raise await missing_version(tx, package, version)


async def _require_room(
    tx: AsyncConnection, package: packages.Package, version: VersionText, text: AdvisoryText
) -> None:
    """Raise TooManyAdvisories if the version has its maximum number of advisories.

    Also raised if this text would exceed the byte limit. The package must be locked.
    """
    in_force, bytes_in_force, ever = await advisories.count(tx, package.id, version)
    if in_force >= MAX_IN_FORCE:
        raise TooManyAdvisories(f"{MAX_IN_FORCE} advisories are in force; withdraw one first")
    if bytes_in_force + text.size_bytes > MAX_BYTES_IN_FORCE:
        raise TooManyAdvisories(
            f"the texts of advisories in force may have at most {MAX_BYTES_IN_FORCE} bytes in total; with "
            f"this one they would have {bytes_in_force + text.size_bytes}. Withdraw one first, or "
            "shorten this one"
        )
    if ever >= MAX_EVER:
        raise TooManyAdvisories(f"the version has had {MAX_EVER} advisories, withdrawn ones included")


def _require_plain(what: str, text: str, *, allowed: str = "") -> None:
    if (found := misleading_character(text, allowed=allowed)) is not None:
        raise AdvisoryInvalid(
            f"{what} must not contain control characters or bidirectional formatting characters; "
            f"found {found}"
        )


def _require_web_url(text: str) -> None:
    if len(text.encode()) > MAX_URL_BYTES:
        raise AdvisoryInvalid(f"url must have at most {MAX_URL_BYTES} bytes")
    _require_plain("url", text)
    try:
        is_web_url = _WEB_URL.fullmatch(text) is not None and URL(text).hostname != ""
    except ValueError:
        is_web_url = False
    if not is_web_url:
        raise AdvisoryInvalid("url must be an absolute http or https URL")
