"""The listing of a package for search, archetypes and reverse dependencies, from its latest version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from indexer.manifest_fields import listed_facets, listed_text
from indexer.rows import PackageRow
from shared.manifest_limits import MAX_DESCRIPTION_BYTES
from shared.names import PackageName
from shared.requires_packages import RequiredPackage, required_packages
from shared.text import lower_ascii, trim
from shared.versions import VersionText

ARCHETYPE: Final = "archetype:"


@dataclass(frozen=True, slots=True)
class Listing:
    """One package as lists show it. A package without a latest version has only its name and is_official.

    modules_count: 0 or more. facets, archetypes: sorted, unique. archetype_document: all text that a
    query for archetypes searches, in lower case; None without archetypes.
    """

    name: PackageName
    latest_version: VersionText | None
    is_official: bool
    description: str | None
    modules_count: int
    facets: tuple[str, ...]
    archetypes: tuple[str, ...]
    archetype_document: str | None
    scale_tested: bool
    requires: tuple[RequiredPackage, ...]


def listing_of(package: PackageRow) -> Listing:
    """The listing of a package. Its manifest may be older than today's publish rules."""
    latest = package.latest
    manifest: Mapping[str, Any] = latest.manifest if latest else {}
    modules = manifest.get("modules")
    written = listed_text(manifest, "description", MAX_DESCRIPTION_BYTES)
    description = written if isinstance(written, str) else None
    facets = listed_facets(package.name, manifest.get("meta"))
    archetypes = _archetypes_of(facets)
    return Listing(
        name=package.name,
        latest_version=package.latest_version,
        is_official=package.is_official,
        description=description,
        modules_count=len(modules) if isinstance(modules, list) else 0,
        facets=facets,
        archetypes=archetypes,
        archetype_document=_document(package.name, description or "", archetypes) if archetypes else None,
        scale_tested=latest is not None and latest.scale_tested,
        requires=required_packages(manifest.get("meta")),
    )


def _archetypes_of(facets: tuple[str, ...]) -> tuple[str, ...]:
    """The archetypes among the listed facets.

    Each becomes an index key, so the facets' limits apply to it.
    """
    found = (facet.removeprefix(ARCHETYPE) for facet in facets if facet.startswith(ARCHETYPE))
    return tuple(word for word in found if trim(word))


def _document(name: str, description: str, archetypes: tuple[str, ...]) -> str:
    return "\n".join((lower_ascii(f"{name} {description}"), *archetypes))
