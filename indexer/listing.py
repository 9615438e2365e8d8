"""What search, archetypes and reverse dependencies say of a package; pure, from its latest version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from indexer.manifest_fields import text_field
from indexer.rows import PackageRow
from shared.facets import facets_of
from shared.names import PackageName
from shared.requires_packages import RequiredPackage, required_packages
from shared.text import lower_ascii, trim
from shared.versions import VersionText

ARCHETYPE: Final = "archetype:"
MAX_ARCHETYPES: Final = 64
MAX_ARCHETYPE_BYTES: Final = 256


@dataclass(frozen=True, slots=True)
class Listing:
    """One package as it is listed. Without a latest version only its name and is_official say anything.

    modules_count: 0 or more. facets, archetypes: sorted, unique. archetype_document: all text that a
    query for archetypes may match, lower-cased; None without archetypes.
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
    """The package's listing. Manifests may be older than today's publish rules."""
    latest = package.latest
    manifest: Mapping[str, Any] = latest.manifest if latest else {}
    modules, written = manifest.get("modules"), text_field(manifest, "description")
    description = written if isinstance(written, str) else None
    facets = facets_of(package.name, manifest.get("meta"))
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
    """The archetypes among facets. Bounded, because each is a key of an index."""
    found = (facet.removeprefix(ARCHETYPE) for facet in facets if facet.startswith(ARCHETYPE))
    fitting = [word for word in found if trim(word) and len(word.encode()) <= MAX_ARCHETYPE_BYTES]
    return tuple(fitting[:MAX_ARCHETYPES])


def _document(name: str, description: str, archetypes: tuple[str, ...]) -> str:
    return "\n".join((lower_ascii(f"{name} {description}"), *archetypes))
