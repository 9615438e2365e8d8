"""Renders the metadata document of a version, which readers get as a static file (contract, 2.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from indexer.manifest_fields import text_field
from indexer.rows import PackageRow, VersionRow
from shared.errors import MetadataCorrupt
from shared.facets import facets_of
from shared.provenance import Provenance


class RequiredFields(msgspec.Struct, frozen=True):
    """The fields that every stored manifest has."""

    schema_version: str
    name: str
    version: str
    module_root: str
    modules: list[str]


class MetadataPackage(msgspec.Struct, frozen=True, kw_only=True):
    """The nine known keys of a manifest. Older manifests lack some of them."""

    schema_version: str
    name: str
    description: str | UnsetType = UNSET
    license: str | UnsetType = UNSET
    docs: str | UnsetType = UNSET
    version: str
    module_root: str
    modules: list[str]
    meta: msgspec.Raw | UnsetType = UNSET


class MetadataDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Body of GET /v1/packages/{name}/{version}/metadata."""

    ok: bool = True
    package: MetadataPackage
    cksum: str
    is_official: bool
    facets: tuple[str, ...] | UnsetType = UNSET
    scale_classes_supported: tuple[str, ...] | UnsetType = UNSET
    scale_tested: bool | UnsetType = UNSET
    scale_test_evidence_ref: str | UnsetType = UNSET
    published_by: Provenance | UnsetType = UNSET


def render_metadata(package: PackageRow, row: VersionRow) -> bytes:
    """The document of one version. Raises MetadataCorrupt when its manifest lacks a required field."""
    array = row.array
    manifest = row.manifest if array is None else array
    return msgspec.json.encode(
        MetadataDocument(
            package=_manifest(manifest),
            cksum=row.cksum,
            is_official=package.is_official,
            facets=tuple(facets_of(package.name, manifest.get("meta"))) or UNSET,
            scale_classes_supported=row.scale_classes_supported or UNSET,
            scale_tested=row.scale_tested or UNSET,
            scale_test_evidence_ref=row.scale_test_evidence_ref or UNSET,
            published_by=row.provenance or UNSET,
        )
    )


def _manifest(manifest: Mapping[str, Any]) -> MetadataPackage:
    try:
        required = msgspec.convert(manifest, RequiredFields)
    except msgspec.ValidationError as error:
        raise MetadataCorrupt from error
    meta = manifest.get("meta")
    return MetadataPackage(
        schema_version=required.schema_version,
        name=required.name,
        description=text_field(manifest, "description"),
        license=text_field(manifest, "license"),
        docs=text_field(manifest, "docs"),
        version=required.version,
        module_root=required.module_root,
        modules=required.modules,
        meta=UNSET if meta is None else msgspec.Raw(msgspec.json.encode(meta, order="sorted")),
    )
