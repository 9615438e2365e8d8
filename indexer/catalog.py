"""Renders the catalog: one JSON object per package, joined from stored lines (contract, 3.4)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable

import msgspec
from msgspec import UNSET, UnsetType

from indexer.manifest_fields import listed_facets, listed_text
from indexer.rows import PackageRow
from shared.manifest_limits import MAX_DESCRIPTION_BYTES, MAX_DOCS_BYTES
from shared.private_names import is_private

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


class OfficialField(msgspec.Struct, frozen=True):
    """One field of a catalog object."""

    is_official: bool | None = None


def render_catalog_line(package: PackageRow) -> bytes:
    """The catalog object of a package: compact JSON, without a separator."""
    latest = package.latest
    manifest = latest.manifest if latest else {}
    return msgspec.json.encode(
        CatalogPackage(
            name=package.name,
            is_official=package.is_official,
            latest=package.latest_version or UNSET,
            description=listed_text(manifest, "description", MAX_DESCRIPTION_BYTES),
            docs=listed_text(manifest, "docs", MAX_DOCS_BYTES),
            facets=listed_facets(package.name, manifest.get("meta")) or UNSET,
        )
    )


def is_official_in(line: bytes) -> bool | None:
    """Whether the package was official when its catalog object was rendered; None if that does not say."""
    return msgspec.json.decode(line, type=OfficialField).is_official


def public_catalog_line(package: PackageRow, private_namespaces: Collection[str]) -> bytes | None:
    """The package's object in the public catalog; None for a private package."""
    return None if is_private(package.name, private_namespaces) else render_catalog_line(package)


def join_catalog(lines: Iterable[bytes]) -> bytes:
    """A small catalog, from rendered lines in byte order of names."""
    return HEAD + b",".join(lines) + TAIL


async def render_catalog(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The catalog in pieces, from rendered lines in byte order of names. Lines may come joined by commas."""
    separator = HEAD
    async for line in lines:
        yield separator
        yield line
        separator = b","
    yield (HEAD if separator is HEAD else b"") + TAIL
