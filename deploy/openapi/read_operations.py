"""The read service's operations, described in words and models; api/read/routes.py resolves them.

The blob, content type and cache rule of a path are read from the routes, not repeated here.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from api.read.answer import OF_ARCHIVES
from api.read.routes import REDIRECTS, BlobRoute, Redirect, resolve
from deploy.openapi.operation import Answer, Operation, Parameter
from deploy.openapi.vocabulary import PARAMETERS, path_parameters
from deploy.openapi.write_operations import IF_NONE_MATCH, OF_EVERY_ROUTE
from indexer.catalog import CatalogPackage
from indexer.config import IndexConfig
from indexer.metadata import MetadataDocument
from shared import credential_errors, errors, publish_errors
from shared.missing_blob import missing_blob
from shared.package_documents import AdvisoryList, OwnerList, PackagePage
from shared.settings import Settings

TAG: Final = "published tree"
RANGE: Final = Parameter("range", "header", str, "One range of bytes (RFC 9110, 14.2).")
REFRESH: Final = Parameter("x07_refresh", "query", str, "Any value: read past every cache.")
INDEX_HOST: Final = str(Settings.model_fields["index_host"].default)
OF_INDEX_FILES: Final = (publish_errors.InvalidName, errors.IndexPathInvalid, errors.IndexNotFound)
OF_RELEASES: Final = (publish_errors.InvalidName, publish_errors.InvalidVersion, errors.NotFound)
AT_ROOT: Final = "at the root of the index host."
SHORT: Final = "{length}/{name}"
LONG: Final = "{first}/{second}/{name}"
TILE: Final = "{level}/{index}"
TILE_DESCRIPTION: Final = (
    "256 hashes of one level of the log's Merkle tree, or 256 entries where the level is `entries` "
    "(c2sp.org/tlog-tiles). Tiles from 1,000 on, and partial ones, have more path elements."
)
MIRRORED_METADATA: Final = "As /v1/packages/{name}/{version}/metadata, where a mirror's configuration has it."
MIRRORED_DOWNLOAD: Final = "As /v1/packages/{name}/{version}/download, where a mirror's configuration has it."
MIRRORED_ADVISORIES: Final = "As /v1/packages/{name}/{version}/advisories."
PRIVATE_CATALOG: Final = "The private packages that a pattern covers, for those who may read all of them."
ENTRY: Final = "Index file of a package: a line of JSON a version (`IndexEntry`), in ascending SemVer order."


class Catalog(msgspec.Struct, frozen=True, kw_only=True):
    """Every package, in byte order of names."""

    schema_version: str = "x07.index-catalog@0.1.0"
    packages: tuple[CatalogPackage, ...]


def read_operations() -> tuple[Operation, ...]:
    """All operations that the read service answers."""
    return (
        *(_redirect(path.decode(), redirect) for path, redirect in REDIRECTS.items() if path != b"/openapi"),
        _blob("/index/config.json", "index_config", "The index's configuration.", IndexConfig),
        _blob("/index/catalog.json", "index_catalog", "The catalog of packages.", Catalog),
        _blob("/index/private/{pattern}/catalog.json", "private_catalog", PRIVATE_CATALOG, Catalog),
        _blob(f"/index/{SHORT}", "index_file_of_short_name", f"{ENTRY} Names of 1 or 2 bytes.", str),
        _blob(f"/index/{LONG}", "index_file", f"{ENTRY} Names of 3 bytes and more.", str),
        _blob("/config.json", "host_config", f"As /index/config.json, {AT_ROOT}", IndexConfig),
        _blob("/catalog.json", "host_catalog", f"As /index/catalog.json, {AT_ROOT}", Catalog),
        _blob(f"/{SHORT}", "host_file_of_short_name", f"As /index/{SHORT}, {AT_ROOT}", str),
        _blob(f"/{LONG}", "host_file", f"As /index/{LONG}, {AT_ROOT}", str),
        _blob(
            "/v1/packages/{name}/{version}/metadata", "metadata", "A version's manifest.", MetadataDocument
        ),
        _blob("/v1/packages/{name}/{version}/download", "download", "A version's archive, a plain tar."),
        _blob("/dl/{name}/{version}/metadata", "mirrored_metadata", MIRRORED_METADATA, MetadataDocument),
        _blob("/dl/{name}/{version}/download", "mirrored_download", MIRRORED_DOWNLOAD),
        _blob("/dl/{name}/package", "package_page", "As /v1/packages/{name}.", PackagePage),
        _blob("/dl/{name}/owners", "mirrored_owners", "As /v1/packages/{name}/owners.", OwnerList),
        _blob("/dl/{name}/{version}/advisories", "mirrored_advisories", MIRRORED_ADVISORIES, AdvisoryList),
        _blob("/log/checkpoint", "log_checkpoint", "The signed tree head of the transparency log.", str),
        _blob(f"/log/tile/{TILE}", "log_tile", TILE_DESCRIPTION),
    )


def _redirect(path: str, redirect: Redirect) -> Operation:
    return Operation(
        method="GET",
        path=path,
        name="index" if path == "/index" else "index_root",
        tag=TAG,
        description=f"To {redirect.location}.",
        answers=(Answer(status=redirect.status, description="Go on there.", headers=("location",)),),
        errors=OF_EVERY_ROUTE,
    )


def _blob(path: str, name: str, description: str, model: Any = None) -> Operation:
    """model: of a whole body; None: bytes of an archive."""
    host = None if path.startswith(("/index/", "/v1/", "/dl/")) else INDEX_HOST
    route = _route_of(path)
    parameters = [*path_parameters(path)]
    parameters += [IF_NONE_MATCH, RANGE] if route.is_archive else [REFRESH, IF_NONE_MATCH]
    return Operation(
        method="GET",
        path=path,
        name=name,
        tag=TAG,
        description=description,
        parameters=tuple(parameters),
        answers=_answers(route, model),
        errors=_errors(route, path, is_rooted=host is not None),
        security=({}, {"token": ("read",)}),
        host=host,
    )


def _route_of(path: str) -> BlobRoute:
    """The route that a path resolves to on the index host, with examples for its parameters."""
    values = {**PARAMETERS, "name": "ab" if "{length}" in path else PARAMETERS["name"]}
    target = re.sub(r"{(\w+)}", lambda match: str(values[match[1]]), path)
    host = INDEX_HOST.encode()
    route = resolve({"raw_path": target.encode(), "headers": [(b"host", host)]}, host)
    if not isinstance(route, BlobRoute):
        raise TypeError(f"{path} is not a document of the published tree")
    return route


def _answers(route: BlobRoute, model: Any) -> tuple[Answer, ...]:
    validators: tuple[str, ...] = ("etag", "cache-control", "surrogate-key", "x-x07-stale")
    if route.has_variants:
        validators += ("vary",)
    if route.is_archive:
        validators += tuple(name.decode() for name, _ in OF_ARCHIVES)
    whole = Answer(
        status=200,
        description="The document." if not route.is_archive else "The whole archive.",
        media_type=route.content_type,
        model=model,
        headers=validators,
    )
    part = Answer(
        status=206,
        description="The range that was asked for.",
        media_type=route.content_type,
        headers=(*validators, "content-range"),
    )
    known = Answer(status=304, description="The client has it.", headers=validators)
    return (whole, part, known) if route.is_archive else (whole, known)


def _errors(route: BlobRoute, path: str, *, is_rooted: bool) -> tuple[type[errors.RegistryError], ...]:
    found: list[type[errors.RegistryError]] = [
        *OF_EVERY_ROUTE,
        credential_errors.AuthRequired,
        credential_errors.AuthInvalid,
        type(missing_blob(route.key)),
        errors.StorageFailed,
    ]
    if is_rooted:
        found.append(errors.NotFound)
    if path.endswith(("/package", "/owners")) or "{pattern}" in path:
        found.append(publish_errors.InvalidName)
    elif "{name}" in path:
        found += OF_RELEASES if "{version}" in path else OF_INDEX_FILES
    if path.endswith("/metadata"):
        found.append(errors.MetadataCorrupt)
    if route.is_archive:
        found.append(errors.RangeNotSatisfiable)
    return tuple(dict.fromkeys(found))
