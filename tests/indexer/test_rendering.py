"""Rendering is pure: rows give exactly these bytes. `make golden` rewrites the files."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.catalog import render_catalog, render_catalog_line
from indexer.entry import render_index_file
from indexer.metadata import render_metadata
from indexer.package_page import render_package_page
from indexer.pages.package_html import render_package_html, render_version_html
from indexer.rows import PackageRow, VersionRow
from shared.errors import DatabaseCorrupt, MetadataCorrupt
from shared.pages.site import Site

GOLDEN = Path(__file__).parent / "golden"
SITE = Site("https://registry.example/x07", "/x07", "https://x07.io", is_private=False)
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CASES = sorted(path.name for path in GOLDEN.iterdir())


def load_rows(case: str) -> PackageRow:
    """The rows of a golden case."""
    rows = json.loads((GOLDEN / case / "rows.json").read_bytes())
    for version in rows["versions"]:
        version["manifest_json"] = json.dumps(version.pop("manifest"))
    return msgspec.convert(rows, PackageRow)


def rendered(package: PackageRow) -> dict[str, bytes]:
    """Every file that a package is rendered to, by golden file name."""
    files = {
        "index.ndjson": render_index_file(package),
        "catalog_line.json": render_catalog_line(package),
        "page.json": render_package_page(package),
        "page.html": render_package_html(SITE, package),
    }
    for row in package.versions:
        files[f"metadata-{row.version}.json"] = render_metadata(package, row)
        files[f"page-{row.version}.html"] = render_version_html(SITE, package.name, row)
    return files


@pytest.mark.parametrize("case", CASES)
def test_rows_render_to_exactly_the_golden_bytes(case: str) -> None:
    """Index file, catalog line and metadata of each case equal the reviewed files."""
    files = rendered(load_rows(case))
    if os.environ.get("X07_GOLDEN") == "write":
        for name, body in files.items():
            (GOLDEN / case / name).write_bytes(body)
    stored = {path.name: path.read_bytes() for path in (GOLDEN / case).iterdir() if path.name != "rows.json"}
    assert files == stored


versions = st.builds(
    lambda major, pre, yanked: VersionRow(
        version=f"{major}.0.0{pre}",
        cksum="0" * 64,
        yanked=yanked,
        manifest_json=json.dumps({"description": pre}),
        published_at=NOW,
    ),
    st.integers(0, 30),
    st.sampled_from(["", "-rc.1", "-alpha", "+build.5", "-1+x"]),
    st.booleans(),
)


@given(st.lists(versions, unique_by=lambda row: row.version))
def test_the_order_of_rows_does_not_change_the_index_file(rows: list[VersionRow]) -> None:
    """Queries therefore need no ORDER BY."""
    assert render_index_file(package_of(rows)) == render_index_file(package_of(rows[::-1]))


@given(st.text(), st.text())
def test_every_text_survives_rendering_and_parsing(description: str, docs: str) -> None:
    """parse(render(x)) == x for any text, one line each."""
    manifest = {"description": description, "docs": docs}
    body = render_index_file(
        package_of([VersionRow("1.0.0", "0" * 64, False, json.dumps(manifest), published_at=NOW)])
    )
    assert body.count(b"\n") == 1
    line = msgspec.json.decode(body)
    assert (line["description"], line["docs"]) == (description, docs)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("signature", {"kind": "rsa", "key_id": "k", "signature": "AAAA"}),
        ("signature", {"kind": "ed25519", "key_id": "  ", "signature": "AAAA"}),
        ("signature", {"kind": "ed25519", "key_id": "k", "signature": ""}),
        ("signature", {"kind": "ed25519", "key_id": None, "signature": None}),
    ],
)
def test_a_corrupt_stored_signature_is_not_published(field: str, value: dict[str, Any]) -> None:
    """Clients could not read a file with such a line."""
    row = {
        "version": "1.0.0",
        "cksum": "0" * 64,
        "yanked": False,
        "manifest_json": "{}",
        "published_at": NOW,
        field: value,
    }
    with pytest.raises(DatabaseCorrupt):
        render_index_file(package_of([msgspec.convert(row, VersionRow, strict=False)]))


def test_metadata_of_a_manifest_without_modules_is_corrupt() -> None:
    """Old manifests may lack texts, but not the fields that clients need."""
    manifest = {"schema_version": "x07.package@0.1.0", "name": "a"}
    row = VersionRow("1.0.0", "0" * 64, False, json.dumps(manifest), published_at=NOW)
    with pytest.raises(MetadataCorrupt):
        render_metadata(package_of([row]), row)


async def test_an_empty_catalog_is_still_a_catalog() -> None:
    """The smoke check can parse the catalog of a registry without packages."""
    assert await catalog_of([]) == b'{"schema_version":"x07.index-catalog@0.1.0","packages":[]}\n'


async def test_a_catalog_joins_ready_made_lines() -> None:
    """There are commas between lines, and nothing else is added."""
    assert await catalog_of([b"{1}", b"{2}"]) == (
        b'{"schema_version":"x07.index-catalog@0.1.0","packages":[{1},{2}]}\n'
    )


async def catalog_of(lines: list[bytes]) -> bytes:
    """The whole catalog of these lines."""

    async def each() -> Any:
        for line in lines:
            yield line

    return b"".join([chunk async for chunk in render_catalog(each())])


def package_of(rows: list[VersionRow]) -> PackageRow:
    """A package with only these versions."""
    return PackageRow(
        id=UUID(int=1),
        name="hello",
        latest_version=None,
        is_official=False,
        generation=1,
        versions=tuple(rows),
    )
