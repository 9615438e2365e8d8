"""The catalog: one object a package, joined from lines that were rendered before (contract, 3.4)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
from msgspec import UNSET, UnsetType

from indexer.manifest_fields import text_field
from indexer.rows import PackageRow
from shared.facets import facets_of

HEAD = b'{"schema_version":"x07.index-catalog@0.1.0","packages":['
TAIL = b"]}\n"


class CatalogPackage(msgspec.Struct, frozen=True, kw_only=True):
    """One package of the catalog. latest: absent when every version is yanked."""

    name: str
    is_official: bool
    latest: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    docs: str | UnsetType = UNSET
    facets: tuple[str, ...] | UnsetType = UNSET


def render_catalog_line(package: PackageRow) -> bytes:
    """The package's catalog object, compact JSON without a separator."""
    latest = package.latest
    manifest = latest.manifest if latest else {}
    return msgspec.json.encode(
        CatalogPackage(
            name=package.name,
            is_official=package.is_official,
            latest=package.latest_version or UNSET,
            description=text_field(manifest, "description"),
            docs=text_field(manifest, "docs"),
            facets=tuple(facets_of(package.name, manifest.get("meta"))) or UNSET,
        )
    )


async def render_catalog(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The catalog in pieces, from rendered lines in byte order of names; some may be joined by commas."""
    separator = HEAD
    async for line in lines:
        yield separator
        yield line
        separator = b","
    yield (HEAD if separator is HEAD else b"") + TAIL
