"""The surrogate key of each file: what an edge is told, so that it can be asked to drop what has changed.

A surrogate key names a set of files that change together. Fastly takes it from `Surrogate-Key`, Cloudflare
from `Cache-Tag` (docs/edge.md).
"""

from __future__ import annotations

from typing import Final

from shared.blobs import CATALOG_KEY, CONFIG_KEY

_FIXED: Final = {CATALOG_KEY: "catalog", CONFIG_KEY: "config"}


def surrogate_key_of(key: str) -> str:
    """The surrogate key of a blob: `package/NAME`, `archive/NAME/VERSION`, `pages/NAME`, `catalog` …

    An archive has one of its own, because it does not change when its package does. A file of a kind that
    is not named here has that of its folder.
    """
    if (fixed := _FIXED.get(key)) is not None:
        return fixed
    match key.split("/"):
        case ["dl", name, version, "download"]:
            return f"archive/{name}/{version}"
        case ["pages", "packages", name, _, *_]:
            return f"pages/{name}"
        case ["dl", name, *_] | ["index", *_, name]:
            return f"package/{name}"
        case parts:
            return parts[0]
