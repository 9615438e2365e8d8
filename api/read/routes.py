"""From a request's path to what it names: a blob of the published tree, a redirect, a page.

Pure: no storage is asked here, and every wrong path raises its error of the contract (3.1).
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
from shared.http.path import decode_path
from shared.names import parse_index_path, parse_name
from shared.versions import parse_version

INDEX: Final = "/index/"
PACKAGES: Final = "/v1/packages/"
INDEX_MAX_AGE: Final = "public, max-age=300"
METADATA_MAX_AGE: Final = "public, max-age=3600"
ARCHIVE_MAX_AGE: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class BlobRoute:
    """A path that names a blob. missing: raised when storage does not hold it."""

    key: str
    content_type: str
    cache_control: str
    missing: type[RegistryError]
    is_archive: bool = False


@dataclass(frozen=True, slots=True)
class Redirect:
    """A path that has moved (contract, 3.2). location: relative."""

    status: int
    location: str


class Page(Enum):
    """A path that the service answers by itself."""

    SERVICE = "/"
    HEALTH = "/healthz"
    READY = "/readyz"


REDIRECTS: Final = {
    "/index": Redirect(308, "/index/"),
    "/index/": Redirect(307, "/index/catalog.json"),
}
PAGES: Final = {page.value: page for page in Page}
# The last segment of these has a fixed meaning elsewhere (contract, section 2: routing notes).
NOT_A_VERSION: Final = "owners"

Route = BlobRoute | Redirect | Page


def resolve(scope: Scope, index_host: str) -> Route:
    """What the request names. Raises BadRequest, IndexPathInvalid, InvalidName, InvalidVersion, NotFound."""
    raw_path: bytes = scope["raw_path"]
    path = decode_path(raw_path)
    if path in PAGES:
        return PAGES[path]
    if path in REDIRECTS:
        return REDIRECTS[path]
    if path.startswith(INDEX):
        return index_route(path.removeprefix(INDEX))
    if (release := _release_path(path)) is not None:
        return _release_route(*release)
    if names_host(scope, index_host) and not path.startswith(("/v1/", "/openapi")):
        return index_route(raw_path.decode("latin-1").lstrip("/"))
    raise NotFound


def handles(scope: Scope, index_host: str) -> bool:
    """True if the path belongs to the read tier when both tiers share one address."""
    raw_path: bytes = scope["raw_path"]
    if raw_path in (b"/", b"/healthz", b"/readyz") or raw_path.startswith(b"/openapi"):
        return False
    if raw_path == b"/index" or raw_path.startswith(b"/index/"):
        return True
    if raw_path.startswith(b"/v1/"):
        return _release_path(raw_path.decode("latin-1")) is not None
    return names_host(scope, index_host)


def index_route(path: str) -> BlobRoute:
    """The blob of a path below /index/. Raises IndexPathInvalid or InvalidName, in the contract's order."""
    if path == "config.json":
        return _index_blob(CONFIG_KEY)
    if path == "catalog.json":
        return _index_blob(CATALOG_KEY)
    return _index_blob(index_key(parse_index_path(path)))


def names_host(scope: Scope, index_host: str) -> bool:
    """True if the Host header, cut at its first `:`, is the index host in any case."""
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    return bool(host.partition(b":")[0].lower().decode("latin-1") == index_host.lower())


def _index_blob(key: str) -> BlobRoute:
    return BlobRoute(key, content_type_of(key), INDEX_MAX_AGE, IndexNotFound)


def _release_path(path: str) -> tuple[str, str, str] | None:
    """Name, version and `download` or `metadata`, if the path has that form."""
    segments = path.removeprefix(PACKAGES).split("/") if path.startswith(PACKAGES) else []
    match segments:
        case [name, version, ("download" | "metadata") as document] if name and version not in (
            "",
            NOT_A_VERSION,
        ):
            return name, version, document
    return None


def _release_route(name_text: str, version_text: str, document: str) -> BlobRoute:
    name, version = parse_name(name_text), parse_version(version_text)
    if document == "metadata":
        key = metadata_key(name, version)
        return BlobRoute(key, content_type_of(key), METADATA_MAX_AGE, NotFound)
    key = archive_key(name, version)
    return BlobRoute(key, content_type_of(key), ARCHIVE_MAX_AGE, NotFound, is_archive=True)
