"""Resolves a request's target to a blob of the published tree, a redirect or a page.

Pure functions. A wrong path raises the error that the contract defines (3.1). Targets are matched exactly as
sent. Only names in them are percent-decoded, and below the root of the index host not even those.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from starlette.types import Scope

from shared.blobs import (
    CATALOG_KEY,
    CHECKPOINT_KEY,
    CONFIG_KEY,
    JSON_TYPE,
    LOG_PREFIX,
    PRIVATE_PREFIX,
    advisories_key,
    archive_key,
    content_type_of,
    index_key,
    log_key,
    metadata_key,
    owners_key,
    package_key,
    private_catalog_key,
)
from shared.errors import NotFound
from shared.http.page_headers import API_FIELDS, PAGE_FIELDS
from shared.http.path import decode_path
from shared.http.service import OPENAPI_PATH
from shared.log_paths import CHECKPOINT_PATH, TILE_PATH, is_full_bundle
from shared.names import PackageName, parse_index_path, parse_name, shard_path
from shared.page_paths import API_KEY, HOME_KEY, PAGES_PREFIX, STARTS, page_key, page_path, page_pattern
from shared.versions import parse_version

INDEX: Final = b"/index/"
LOG: Final = b"/log/"
PACKAGES: Final = b"/v1/packages/"
# Archives and documents at the address that a mirror's config.json gives: the paths are those of its files.
MIRRORED: Final = b"/dl/"
INDEX_MAX_AGE: Final = "public, max-age=300"
METADATA_MAX_AGE: Final = "public, max-age=3600"
ARCHIVE_MAX_AGE: Final = "public, max-age=31536000, immutable"
ASK_EACH_TIME: Final = "no-cache"
# `/v1/packages/{name}/owners/{handle}` belongs to the write API for every handle (contract, section 2).
NOT_A_VERSION: Final = b"owners"
# `/v1/packages/publish` belongs to the write API, so a package of this name has no page (contract, 2).
NOT_A_PACKAGE: Final = b"publish"
KEYS_OF_PACKAGES: Final = {b"package": package_key, b"owners": owners_key}
KEYS_OF_RELEASES: Final = {b"download": archive_key, b"metadata": metadata_key, b"advisories": advisories_key}


@dataclass(frozen=True, slots=True)
class BlobRoute:
    """A target that names a blob.

    is_archive: immutable, and served in ranges. has_variants: storage may hold compressed variants.
    fields: further headers of every answer. depends_on_accept: the target has another answer beside the blob.
    """

    key: str
    content_type: str
    cache_control: str
    is_archive: bool = False
    has_variants: bool = False
    fields: tuple[tuple[bytes, bytes], ...] = ()
    depends_on_accept: bool = False


@dataclass(frozen=True, slots=True)
class Redirect:
    """A target that has moved (contract, 3.2). location: below the path of the public base."""

    status: int
    location: str


class FixedPage(Enum):
    """A target that the service answers without storage."""

    SERVICE = b"/"
    HEALTH = b"/healthz"
    READY = b"/readyz"
    OPENAPI = b"/openapi/openapi.json"


Route = BlobRoute | Redirect | FixedPage

VARY_ON_ACCEPT: Final = (b"vary", b"accept")
FIELDS_OF_PAGES: Final = {HOME_KEY: (*PAGE_FIELDS, VARY_ON_ACCEPT), API_KEY: API_FIELDS}
"""The further headers of the pages whose headers are not those of all others."""
# Below /index/: the catalog of the private packages that a pattern covers.
PRIVATE_CATALOG: Final = re.compile(r"private/([a-z0-9_-]{1,128}\*?)/catalog\.json")

INDEX_PATTERN: Final = "/index/{path}"
PAGE_PATTERNS: Final = {"package": "/v1/packages/{name}", "owners": "/v1/packages/{name}/owners"}
PAGES: Final = {page.value: page for page in FixedPage}
REDIRECTS: Final = {
    b"/index": Redirect(308, "/index/"),
    b"/index/": Redirect(307, "/index/catalog.json"),
    b"/openapi": Redirect(303, OPENAPI_PATH),
}


def resolve(scope: Scope, index_host: bytes, *, has_pages: bool = False) -> Route:
    """The blob, redirect or page that the request names. index_host: lower-case. has_pages: HTML pages.

    Raises BadRequest, IndexPathInvalid, InvalidName, InvalidVersion, NotFound.
    """
    target: bytes = scope["raw_path"]
    if (fixed := PAGES.get(target) or REDIRECTS.get(target)) is not None:
        return fixed
    if target.startswith(INDEX):
        return index_route(decode_path(target.removeprefix(INDEX)))
    if (release := _release(target)) is not None:
        return _release_route(*release)
    if (page := _page(target)) is not None:
        name, document = page
        return _page_blob(KEYS_OF_PACKAGES[document](parse_name(decode_path(name))))
    if target.startswith(LOG):
        return log_route(decode_path(target.removeprefix(LOG)))
    if has_pages and (html := html_route(target)) is not None:
        return html
    if _is_below_host_root(scope, index_host):
        return index_route(target.lstrip(b"/").decode("latin-1"))
    raise NotFound.path(decode_path(target))


def handles(scope: Scope, index_host: bytes, *, has_pages: bool = False) -> bool:
    """True if the request belongs to the read tier, when both tiers share one address.

    index_host: lower-case. has_pages: HTML pages, which readers serve. Fixed pages and redirects to them
    belong to the write API, whose readiness covers more dependencies. So do other methods than GET and HEAD
    of paths where owners and advisories are changed.
    """
    target: bytes = scope["raw_path"]
    if is_below_packages(target):
        return scope["method"] in ("GET", "HEAD") and (_release(target) or _page(target)) is not None
    return (
        target.startswith((INDEX, LOG))
        or target == INDEX.rstrip(b"/")
        or _release(target) is not None
        or _page(target) is not None
        or _is_below_host_root(scope, index_host)
        or (has_pages and scope["method"] in ("GET", "HEAD") and _is_html(target))
    )


def html_route(target: bytes) -> BlobRoute | None:
    """The HTML page, feed or asset that a target names; None for any other target, and for the home page."""
    key = page_key(decode_path(target)) if target.startswith(STARTS) else None
    return None if key is None else _html_blob(key)


def _is_html(target: bytes) -> bool:
    return target == FixedPage.SERVICE.value or html_route(target) is not None


def is_below_packages(target: bytes) -> bool:
    """True for the targets below /v1/packages/ that both tiers know: all but archives and metadata."""
    return target.startswith(PACKAGES) and target.rpartition(b"/")[2] not in (b"download", b"metadata")


def pattern_of(route: Route) -> str:
    """The route's name in metrics, one of a fixed set."""
    match route:
        case FixedPage():
            return route.value.decode()
        case Redirect():
            return "/index/"
        case BlobRoute(key=key) if key in (CONFIG_KEY, CATALOG_KEY, CHECKPOINT_KEY):
            return f"/{key}"
        case BlobRoute(key=key) if key.startswith(LOG_PREFIX):
            return "/log/tile/{path}"
        case BlobRoute(key=key) if key.startswith(PAGES_PREFIX):
            return page_pattern(key)
        case BlobRoute(key=key) if key.startswith(PRIVATE_PREFIX):
            return "/index/private/{pattern}/catalog.json"
        case BlobRoute(key=key) if key.startswith("dl/") and key.count("/") == 2:
            return PAGE_PATTERNS[key.rpartition("/")[2]]
        case BlobRoute(key=key) if key.startswith("dl/"):
            return "/v1/packages/{name}/{version}/" + key.rpartition("/")[2]
        case BlobRoute():
            return INDEX_PATTERN


def index_route(path: str) -> BlobRoute:
    """The blob of a path below /index/. Raises IndexPathInvalid or InvalidName, in the contract's order."""
    if path == "config.json":
        return _index_blob(CONFIG_KEY)
    if path == "catalog.json":
        return _index_blob(CATALOG_KEY)
    if (private := PRIVATE_CATALOG.fullmatch(path)) is not None:
        return BlobRoute(private_catalog_key(private[1]), JSON_TYPE, INDEX_MAX_AGE)
    return _index_blob(index_key(parse_index_path(path)))


def log_route(path: str) -> BlobRoute:
    """The blob of a path below /log/. Raises NotFound for a path that cannot be a file of a log."""
    if path != CHECKPOINT_PATH and TILE_PATH.fullmatch(path) is None:
        raise NotFound.path(f"/{log_key(path)}")
    return _log_blob(log_key(path))


def canonical_path(key: str) -> bytes:
    """The canonical target of a published blob: the inverse of resolve."""
    if key.startswith(PAGES_PREFIX):
        return page_path(key).encode()
    if not key.startswith("dl/"):
        return f"/{key}".encode()
    path = PACKAGES + key.removeprefix("dl/").encode()
    return path.removesuffix(b"/package") if key.count("/") == 2 else path


def canonical_route(key: str) -> BlobRoute:
    """The route of the canonical target of a published blob."""
    if key.startswith(LOG_PREFIX):
        return _log_blob(key)
    if key.startswith(PAGES_PREFIX):
        return _html_blob(key)
    if not key.startswith("dl/"):
        return _index_blob(key)
    return _page_blob(key) if key.count("/") == 2 else _release_blob(key)


def _index_blob(key: str) -> BlobRoute:
    return BlobRoute(key, content_type_of(key), INDEX_MAX_AGE, has_variants=key != CONFIG_KEY)


def _log_blob(key: str) -> BlobRoute:
    if key == CHECKPOINT_KEY:
        return BlobRoute(key, content_type_of(key), ASK_EACH_TIME)
    has_variants = is_full_bundle(key.removeprefix(LOG_PREFIX))
    return BlobRoute(key, content_type_of(key), ARCHIVE_MAX_AGE, has_variants=has_variants)


def _release_blob(key: str) -> BlobRoute:
    if key.endswith("/metadata"):
        return BlobRoute(key, content_type_of(key), METADATA_MAX_AGE)
    if key.endswith("/advisories"):
        return BlobRoute(key, content_type_of(key), ASK_EACH_TIME)
    return BlobRoute(key, content_type_of(key), ARCHIVE_MAX_AGE, is_archive=True)


def _page_blob(key: str) -> BlobRoute:
    return BlobRoute(key, content_type_of(key), ASK_EACH_TIME)


def _html_blob(key: str) -> BlobRoute:
    is_asset = key.startswith(f"{PAGES_PREFIX}assets/")
    return BlobRoute(
        key,
        content_type_of(key),
        ARCHIVE_MAX_AGE if is_asset else ASK_EACH_TIME,
        has_variants=True,
        fields=FIELDS_OF_PAGES.get(key, PAGE_FIELDS),
        depends_on_accept=key == HOME_KEY,
    )


HOME_ROUTE: Final = _html_blob(HOME_KEY)


def _page(target: bytes) -> tuple[bytes, bytes] | None:
    """Name, as sent, and `package` or `owners`, if the target is the page of a package or its owners."""
    match target.split(b"/"):
        case [b"", b"dl", name, (b"package" | b"owners") as document] if name:
            return name, document
        case [b"", b"v1", b"packages", name, b"owners"] if name:
            return name, b"owners"
        case [b"", b"v1", b"packages", name] if name and name != NOT_A_PACKAGE:
            return name, b"package"
        case _:
            return None


def _release(target: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Name, version and document, as sent, if the target names a document of a version."""
    prefix = next((prefix for prefix in (PACKAGES, MIRRORED) if target.startswith(prefix)), None)
    if prefix is None:
        return None
    match target.removeprefix(prefix).split(b"/"):
        case [name, version, (b"download" | b"metadata" | b"advisories") as document] if name and version:
            return None if version == NOT_A_VERSION else (name, version, document)
        case _:
            return None


def _release_route(raw_name: bytes, raw_version: bytes, document: bytes) -> BlobRoute:
    name, version = parse_name(decode_path(raw_name)), parse_version(decode_path(raw_version))
    return _release_blob(KEYS_OF_RELEASES[document](name, version))


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
