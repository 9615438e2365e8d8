"""From a request's target to what it names: a blob of the published tree, a redirect, a page.

Pure: no storage is asked here, and every wrong path raises its error of the contract (3.1). Targets are
matched as they were sent; only what they name is percent-decoded, and below the root of the index host
not even that.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from starlette.types import Scope

from shared.blobs import (
    CATALOG_KEY,
    CONFIG_KEY,
    archive_key,
    content_type_of,
    index_key,
    metadata_key,
)
from shared.errors import IndexNotFound, NotFound, RegistryError
from shared.http.openapi import OPENAPI_PATH
from shared.http.path import decode_path
from shared.names import PackageName, parse_index_path, parse_name, shard_path
from shared.versions import parse_version

INDEX: Final = b"/index/"
PACKAGES: Final = b"/v1/packages/"
INDEX_MAX_AGE: Final = "public, max-age=300"
METADATA_MAX_AGE: Final = "public, max-age=3600"
ARCHIVE_MAX_AGE: Final = "public, max-age=31536000, immutable"
# `/v1/packages/{name}/owners/{handle}` is the write API's, whatever the handle (contract, section 2).
NOT_A_VERSION: Final = b"owners"


@dataclass(frozen=True, slots=True)
class BlobRoute:
    """A target that names a blob. missing: raised when storage does not hold it.

    is_archive: immutable, and may be asked for in ranges. has_variants: compressed ones lie beside it.
    """

    key: str
    content_type: str
    cache_control: str
    missing: type[RegistryError]
    is_archive: bool = False
    has_variants: bool = False


@dataclass(frozen=True, slots=True)
class Redirect:
    """A target that has moved (contract, 3.2). location: relative."""

    status: int
    location: str


class Page(Enum):
    """A target that the service answers by itself."""

    SERVICE = b"/"
    HEALTH = b"/healthz"
    READY = b"/readyz"
    OPENAPI = b"/openapi/openapi.json"


Route = BlobRoute | Redirect | Page

PAGES: Final = {page.value: page for page in Page}
REDIRECTS: Final = {
    b"/index": Redirect(308, "/index/"),
    b"/index/": Redirect(307, "/index/catalog.json"),
    b"/openapi": Redirect(303, OPENAPI_PATH),
}


def resolve(scope: Scope, index_host: bytes) -> Route:
    """What the request names; index_host: lower-case.

    Raises BadRequest, IndexPathInvalid, InvalidName, InvalidVersion, NotFound.
    """
    target: bytes = scope["raw_path"]
    if (fixed := PAGES.get(target) or REDIRECTS.get(target)) is not None:
        return fixed
    if target.startswith(INDEX):
        return index_route(decode_path(target.removeprefix(INDEX)))
    if (release := _release(target)) is not None:
        return _release_route(*release)
    if _is_below_host_root(scope, index_host):
        return index_route(target.lstrip(b"/").decode("latin-1"))
    decode_path(target)
    raise NotFound


def handles(scope: Scope, index_host: bytes) -> bool:
    """True if the target is the read tier's when both tiers share one address; index_host: lower-case.

    The pages are not (the write API's readiness knows more dependencies), nor is what leads to them.
    """
    target: bytes = scope["raw_path"]
    return (
        target.startswith(INDEX)
        or target == INDEX.rstrip(b"/")
        or _release(target) is not None
        or _is_below_host_root(scope, index_host)
    )


def pattern_of(route: Route) -> str:
    """The route's name in metrics: one of a few, whatever is asked for."""
    match route:
        case Page():
            return route.value.decode()
        case Redirect():
            return "/index/"
        case BlobRoute(key=key) if key in (CONFIG_KEY, CATALOG_KEY):
            return f"/{key}"
        case BlobRoute(is_archive=True):
            return "/v1/packages/{name}/{version}/download"
        case BlobRoute(has_variants=True):
            return "/index/{path}"
        case BlobRoute():
            return "/v1/packages/{name}/{version}/metadata"


def index_route(path: str) -> BlobRoute:
    """The blob of a path below /index/. Raises IndexPathInvalid or InvalidName, in the contract's order."""
    if path == "config.json":
        return _index_blob(CONFIG_KEY)
    if path == "catalog.json":
        return _index_blob(CATALOG_KEY)
    return _index_blob(index_key(parse_index_path(path)))


def canonical_route(key: str) -> tuple[bytes, BlobRoute]:
    """The one canonical target of a published blob, and its route: the inverse of resolve."""
    if not key.startswith("dl/"):
        return f"/{key}".encode(), _index_blob(key)
    path = key.removeprefix("dl/")
    return PACKAGES + path.encode(), _release_blob(key)


def _index_blob(key: str) -> BlobRoute:
    return BlobRoute(key, content_type_of(key), INDEX_MAX_AGE, IndexNotFound, has_variants=key != CONFIG_KEY)


def _release_blob(key: str) -> BlobRoute:
    if key.endswith("/metadata"):
        return BlobRoute(key, content_type_of(key), METADATA_MAX_AGE, NotFound)
    return BlobRoute(key, content_type_of(key), ARCHIVE_MAX_AGE, NotFound, is_archive=True)


def _release(target: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Name, version and `download` or `metadata`, as sent, if the target has that form."""
    if not target.startswith(PACKAGES):
        return None
    match target.removeprefix(PACKAGES).split(b"/"):
        case [name, version, (b"download" | b"metadata") as document] if name and version:
            return None if version == NOT_A_VERSION else (name, version, document)
        case _:
            return None


def _release_route(raw_name: bytes, raw_version: bytes, document: bytes) -> BlobRoute:
    name, version = parse_name(decode_path(raw_name)), parse_version(decode_path(raw_version))
    return _release_blob(
        metadata_key(name, version) if document == b"metadata" else archive_key(name, version)
    )


def _is_below_host_root(scope: Scope, index_host: bytes) -> bool:
    """True if the index host serves this target from its root (contract, 3.6)."""
    target: bytes = scope["raw_path"]
    if not _names_host(scope, index_host) or target in PAGES or target.startswith(b"/openapi"):
        return False
    return not target.startswith(b"/v1/") or _is_shard_path(target.removeprefix(b"/").decode("latin-1"))


def _is_shard_path(path: str) -> bool:
    """True for the index file of a package such as `v1ab`, which looks like a route of the API."""
    return path == shard_path(PackageName(path.rpartition("/")[2]))


def _names_host(scope: Scope, index_host: bytes) -> bool:
    """True if the Host header, cut at its first `:`, is the index host in any case."""
    host: bytes = next((value for name, value in scope["headers"] if name == b"host"), b"")
    return host.partition(b":")[0].lower() == index_host
