"""Keys and content types of blobs in object storage: staging area, published tree, transparency log."""

from __future__ import annotations

import hashlib
import re
from typing import Final
from uuid import uuid4

from shared.names import PackageName, shard_path
from shared.page_paths import PAGES_PREFIX
from shared.versions import VersionText

CATALOG_KEY: Final = "index/catalog.json"
CONFIG_KEY: Final = "index/config.json"

PRIVATE_PREFIX: Final = "private/"
STAGING_PREFIX: Final = "staging/"
LOG_PREFIX: Final = "log/"
CHECKPOINT_KEY: Final = "log/checkpoint"

JSON_TYPE: Final = "application/json"
NDJSON_TYPE: Final = "application/x-ndjson"
ARCHIVE_TYPE: Final = "application/octet-stream"
CHECKPOINT_TYPE: Final = "text/plain; charset=utf-8"
TILE_TYPE: Final = "application/octet-stream"
HTML_TYPE: Final = "text/html; charset=utf-8"
PAGE_TYPES: Final = {
    "html": HTML_TYPE,
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "ico": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
    "xml": "application/xml",
    "atom": "application/atom+xml; charset=utf-8",
}

CORRUPT_METADATA: Final = b'{"code":"X07REG_META_CORRUPT","message":"stored manifest is corrupt"}'
"""The blob at the metadata key of a version whose stored manifest lacks a required field.

Readers recognise it by its digest, so they can tell such a version from an absent one without a database.
"""
CORRUPT_METADATA_DIGEST: Final = hashlib.sha256(CORRUPT_METADATA).hexdigest()

# No package's name has this character.
NO_NAME_HAS: Final = "~"

_STAGING_KEY: Final = re.compile(r"staging/(?P<sha256>[0-9a-f]{64})(?:-(?P<upload_id>[0-9a-f]{32}))?")


def index_key(name: PackageName) -> str:
    """The index file of a package (NDJSON)."""
    return f"index/{shard_path(name)}"


def archive_key(name: PackageName, version: VersionText) -> str:
    """The published archive of a version."""
    return f"dl/{name}/{version}/download"


def metadata_key(name: PackageName, version: VersionText) -> str:
    """The rendered answer of `GET /v1/packages/{name}/{version}/metadata` (JSON)."""
    return f"dl/{name}/{version}/metadata"


def private_catalog_key(pattern: str) -> str:
    """The catalog of the private packages that a pattern covers, beside the published tree.

    pattern: a name, or the beginning of names and `*` (shared/private_names.py).
    """
    return f"{PRIVATE_PREFIX}{pattern}/catalog.json"


def package_key(name: PackageName) -> str:
    """The rendered answer of `GET /v1/packages/{name}` (JSON). No version is called `package`."""
    return f"dl/{name}/package"


def owners_key(name: PackageName) -> str:
    """The answer of `GET /v1/packages/{name}/owners` (JSON), a view of the package's page."""
    return f"dl/{name}/owners"


def advisories_key(name: PackageName, version: VersionText) -> str:
    """The answer of `GET /v1/packages/{name}/{version}/advisories` (JSON).

    Only versions that have or had an advisory have the file.
    """
    return f"dl/{name}/{version}/advisories"


def name_in_key(key: str) -> str:
    """The package of a file of the published tree, or the pattern of a private catalog; else "".

    No name is empty, so no pattern covers the result for a file that belongs to no package.
    """
    match key.split("/"):
        case ["index", *_, name] if key not in (CATALOG_KEY, CONFIG_KEY):
            return name
        case ["dl" | "private", name, *_] | ["pages", "packages", name, _, *_]:
            return name
        case _:
            return ""


def hidden_key(key: str) -> str:
    """A key of the same kind that no file has: that of a name with a character that no name has."""
    name = name_in_key(key)
    if key.startswith("index/"):
        return f"{key}{NO_NAME_HAS}"
    return key.replace(f"/{name}/", f"/{name}{NO_NAME_HAS}/", 1)


def new_upload_id() -> str:
    """A name that no other upload has or will have: 32 lower-case hex digits."""
    return uuid4().hex


def staging_key(sha256: str, upload_id: str | None) -> str:
    """An uploaded archive before publication. sha256: of its bytes, 64 lower-case hex digits.

    Each upload has its own key, so that a late request for another upload's key never touches it. upload_id:
    None for an upload that an older release staged under the checksum alone.
    """
    return staging_prefix(sha256) if upload_id is None else f"{staging_prefix(sha256)}-{upload_id}"


def staging_prefix(sha256: str) -> str:
    """The common prefix of the keys of all uploads of these bytes."""
    return f"{STAGING_PREFIX}{sha256}"


def parse_staging_key(key: str) -> tuple[str, str | None] | None:
    """The checksum and the upload id in a staging key; None for a key that no upload has."""
    match = _STAGING_KEY.fullmatch(key)
    return None if match is None else (match["sha256"], match["upload_id"])


def log_key(path: str) -> str:
    """A file of the transparency log. path: below the log's prefix (c2sp.org/tlog-tiles)."""
    return f"{LOG_PREFIX}{path}"


def content_type_of(key: str) -> str:
    """The content type that a blob is stored and served with (contract, 1.3)."""
    if key.startswith(STAGING_PREFIX) or (key.startswith("dl/") and key.endswith("/download")):
        return ARCHIVE_TYPE
    if key.startswith(LOG_PREFIX):
        return CHECKPOINT_TYPE if key == CHECKPOINT_KEY else TILE_TYPE
    if key.startswith(PAGES_PREFIX):
        return PAGE_TYPES.get(key.rpartition(".")[2], ARCHIVE_TYPE)
    if key.startswith(("dl/", PRIVATE_PREFIX)) or key in (CATALOG_KEY, CONFIG_KEY):
        return JSON_TYPE
    return NDJSON_TYPE
