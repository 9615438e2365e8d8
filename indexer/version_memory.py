"""The versions of packages that have many of them, as a worker read them last.

A publish of one more version reads all rows of its package, and what was made of rows that are as before is
used again. A row is compared as a whole, so nothing out of date comes from here, however old it is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from uuid import UUID

from indexer.rows import AdvisoryRow, VersionRow

Facts: TypeAlias = tuple[str, tuple[Any, ...], tuple[AdvisoryRow, ...]]
"""All that a version's row is made of: the name of its package, its columns, and its advisories."""

# Of a package with fewer versions, there is little to save.
MANY_VERSIONS: Final = 100
LIMIT_BYTES: Final = 24 << 20
# A version with its index line and its part of the page, without its manifest.
VERSION_BYTES: Final = 2500


@dataclass(frozen=True, slots=True)
class _Version:
    facts: Facts
    row: VersionRow


@dataclass(frozen=True, slots=True)
class _Package:
    """versions: by their text. size_bytes: estimated."""

    versions: dict[str, _Version]
    size_bytes: int


class VersionMemory:
    """Keeps the packages that were asked for last, up to a size."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._packages: OrderedDict[UUID, _Package] = OrderedDict()
        self._size_bytes = 0

    def rows(
        self, package_id: UUID, facts: Mapping[str, Facts], make: Callable[[Facts], VersionRow]
    ) -> tuple[VersionRow, ...]:
        """The rows of a package, by version: the same objects as before for those with the same facts."""
        before, versions = self._forgotten(package_id), dict[str, _Version]()
        for version, each in facts.items():
            known = before.get(version)
            if known is None or known.facts != each:
                known = _Version(each, make(each))
            versions[version] = known
        rows = tuple(version.row for version in versions.values())
        if len(rows) >= MANY_VERSIONS:
            size_bytes = sum(VERSION_BYTES + len(row.manifest_json) for row in rows)
            self._keep(package_id, _Package(versions, size_bytes))
        return rows

    def _forgotten(self, package_id: UUID) -> dict[str, _Version]:
        """What was kept of a package, which is not kept any more."""
        if (package := self._packages.pop(package_id, None)) is None:
            return {}
        self._size_bytes -= package.size_bytes
        return package.versions

    def _keep(self, package_id: UUID, package: _Package) -> None:
        self._packages[package_id] = package
        self._size_bytes += package.size_bytes
        while self._size_bytes > self._limit_bytes:
            self._forgotten(next(iter(self._packages)))
