"""The conditions that must hold in the model's world at all times and at its end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable

from indexer.entry import render_index_file
from indexer.package_files import metadata_body
from indexer.package_page import render_package_page
from shared.blobs import advisories_key, archive_key, index_key, metadata_key, package_key
from shared.encodings import SUFFIXES, variant_key
from shared.versions import VersionText
from tests.model.rows import NAME, ModelRows
from tests.model.storage import ModelStorage

INDEX = index_key(NAME)


class Judge:
    """Checks storage after each event, like a reader that never misses one."""

    def __init__(self, rows: ModelRows, storage: ModelStorage) -> None:
        self._rows = rows
        self._storage = storage
        self._seen: dict[str, str] = {}
        self._archives: dict[str, bytes] = {}

    def state(self) -> Hashable:
        """Everything that readers have seen."""
        return tuple(sorted(self._seen))

    def look(self) -> None:
        """Fail if a version disappears, a line has no archive, or an archive has changed."""
        removed = {row.version for row in self._rows.removed}
        lines = self.lines()
        for version in self._seen.keys() - lines.keys() - removed:
            raise AssertionError(f"readers saw {version}, and it is gone")
        self._seen |= lines
        for version, cksum in lines.items():
            body = self._body(archive_key(NAME, VersionText(version)))
            if VersionText(version) not in removed:
                assert hashlib.sha256(body).hexdigest() == cksum, f"{version} is listed without its archive"
        for key, blob in self._storage.blobs.items():
            if key.endswith("/download") and blob.body:
                assert self._archives.setdefault(key, blob.body) == blob.body, f"{key} was replaced"

    def lines(self) -> dict[str, str]:
        """Checksums by version in the index file."""
        lines = [json.loads(line) for line in self._body(INDEX).splitlines()]
        return {line["version"]: line["cksum"] for line in lines}

    def decide(self) -> None:
        """Fail unless storage holds what the rows render to, after everything is published."""
        package = self._rows.package()
        assert self._rows.generation == self._rows.published_generation
        assert self._body(INDEX) == render_index_file(package), "the index file is not that of the rows"
        digest = hashlib.sha256(self._body(INDEX)).hexdigest()
        for coding in SUFFIXES:
            variant = self._storage.blobs.get(variant_key(INDEX, coding))
            assert variant is None or variant.info.identity_digest == digest, f"{coding} is of another body"
        for row in package.versions:
            document = self._body(metadata_key(NAME, row.version))
            assert document == metadata_body(package, row), f"metadata of {row.version} is another"
        page = render_package_page(package)
        assert self._body(package_key(NAME)) == page, "the package's page is not that of the rows"
        for removed in package.removed:
            for key in (file(NAME, removed.version) for file in (archive_key, metadata_key, advisories_key)):
                assert self._body(key) == b"", f"{key} was removed, and is back"

    def _body(self, key: str) -> bytes:
        blob = self._storage.blobs.get(key)
        return b"" if blob is None else blob.body
