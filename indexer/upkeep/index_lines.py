"""Index files in storage: their keys, and the fields of their lines that a copy needs."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from indexer.entry import split_lines
from indexer.upkeep.tree_keys import DOCUMENTS, place_of
from shared.names import PackageName
from shared.versions import VersionText


class Line(msgspec.Struct, frozen=True):
    """One line of an index file."""

    name: str
    version: str
    cksum: str

    @property
    def release(self) -> tuple[PackageName, VersionText]:
        """Its package and version."""
        return PackageName(self.name), VersionText(self.version)


def is_index_file(key: str) -> bool:
    """True for the index file of a package, not for its variants."""
    return key not in DOCUMENTS and place_of(key) is not None and "." not in key


def package_of(key: str) -> PackageName:
    """The package of an index file."""
    return PackageName(key.rpartition("/")[2])


def lines_of(body: bytes) -> Iterator[Line]:
    """The lines of an index file."""
    return (msgspec.json.decode(line, type=Line) for line in split_lines(body))
