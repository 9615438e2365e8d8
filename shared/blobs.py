"""Keys and content types of what lies in object storage: the staging area and the published tree."""

from __future__ import annotations

from typing import Final

from shared.names import PackageName, shard_path
from shared.versions import VersionText

CATALOG_KEY: Final = "index/catalog.json"
CONFIG_KEY: Final = "index/config.json"

JSON_TYPE: Final = "application/json"
NDJSON_TYPE: Final = "application/x-ndjson"
ARCHIVE_TYPE: Final = "application/octet-stream"


def index_key(name: PackageName) -> str:
    """The index file of a package (NDJSON)."""
    return f"index/{shard_path(name)}"


def archive_key(name: PackageName, version: VersionText) -> str:
    """The published archive of a version."""
    return f"dl/{name}/{version}/download"


def metadata_key(name: PackageName, version: VersionText) -> str:
    """The rendered answer of `GET /v1/packages/{name}/{version}/metadata` (JSON)."""
    return f"dl/{name}/{version}/metadata"


def staging_key(sha256: str) -> str:
    """An uploaded archive before publication. sha256: of its bytes, 64 lower-case hex digits."""
    return f"staging/{sha256}"


def content_type_of(key: str) -> str:
    """The content type that a blob is stored and served with (contract, 1.3)."""
    if key.startswith("staging/") or (key.startswith("dl/") and key.endswith("/download")):
        return ARCHIVE_TYPE
    if key.startswith("dl/") or key in (CATALOG_KEY, CONFIG_KEY):
        return JSON_TYPE
    return NDJSON_TYPE
