"""Maps keys of the published tree to the package or version they belong to."""

from __future__ import annotations

from dataclasses import dataclass

from shared.blobs import CATALOG_KEY, CONFIG_KEY, index_key
from shared.encodings import SUFFIXES
from shared.names import PackageName

DOCUMENTS = frozenset({CATALOG_KEY, CONFIG_KEY, *(f"{CATALOG_KEY}{suffix}" for suffix in SUFFIXES.values())})


@dataclass(frozen=True, slots=True)
class Place:
    """The package or version of a key. version: None for an index file, its variants and a package page."""

    package: str
    version: str | None = None
    is_archive: bool = False


def place_of(key: str) -> Place | None:
    """The package or version whose file has this key; None if the registry writes no such file."""
    if key.startswith("dl/"):
        match key.split("/"):
            case ["dl", package, version, ("download" | "metadata" | "advisories") as document]:
                return Place(package, version, document == "download")
            case ["dl", package, "package"]:
                return Place(package)
        return None
    name = key.rpartition("/")[2]
    for suffix in SUFFIXES.values():
        name = name.removesuffix(suffix)
    is_file_of_it = name and key.partition(".")[0] == index_key(PackageName(name))
    return Place(name) if is_file_of_it else None
