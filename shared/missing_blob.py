"""The error for a file of the published tree that is not there. Both tiers answer with it."""

from __future__ import annotations

from shared.blobs import CATALOG_KEY, CONFIG_KEY
from shared.errors import IndexNotFound, NotFound
from shared.page_paths import page_path


def missing_blob(key: str, *, is_removed: bool = False) -> NotFound:
    """The error that names what is missing. is_removed: as of storage.interface.Missing."""
    match key.split("/"):
        case ["index", *_] if key in (CATALOG_KEY, CONFIG_KEY):
            return IndexNotFound.path(f"/{key}")
        case ["index", *_, name]:
            return IndexNotFound.package(name)
        case ["private", *_]:
            return IndexNotFound.path(f"/index/{key}")
        case ["dl", name, version, _] | ["pages", "packages", name, version, *_, "index.html"] if is_removed:
            return NotFound.removed_version(name, version)
        case ["dl", name, version, _]:
            return NotFound.version(name, version)
        case ["dl", name, _]:
            return NotFound.package(name)
        case ["pages", *_]:
            return NotFound.path(page_path(key))
        case _:
            return NotFound.path(f"/{key}")
