"""Which metadata documents of a package are put again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from indexer.catalog import render_catalog_line
from indexer.metadata import render_metadata
from indexer.package_files import render_package_files
from indexer.rows import PackageRow, PackageState, VersionRow
from tests.indexer.test_rendering import load_rows

OLD = "0" * 64


def state_of(package: PackageRow, change: Callable[[VersionRow], VersionRow]) -> PackageState:
    """A package all of whose documents were put, and then changed."""
    put = tuple(replace(row, metadata_digest=OLD) for row in package.versions)
    line = render_catalog_line(package)
    first, *others = put
    return PackageState(replace(package, versions=(change(first), *others)), 1, line, None)


@pytest.mark.parametrize(
    "change",
    [
        lambda row: replace(row, metadata_digest=None),
        lambda row: replace(row, scale_tested=True, scale_test_evidence_ref="https://ci.example/1"),
    ],
)
def test_only_documents_that_may_have_changed_are_rendered(
    change: Callable[[VersionRow], VersionRow],
) -> None:
    """A package may have thousands of versions, and most changes concern one of them."""
    state = state_of(load_rows("yanked_with_advisory"), change)
    first = state.package.versions[0]
    documents = render_package_files(state).documents
    assert list(documents) == [first.version]
    assert documents[first.version].body == render_metadata(state.package, first)


def test_every_document_tells_whether_the_package_is_official() -> None:
    """So all of them change with it, and also if it is unknown what was put."""
    state = state_of(load_rows("yanked_with_advisory"), lambda row: row)
    assert render_package_files(state).documents == {}
    official = replace(state.package, is_official=not state.package.is_official)
    for changed in (replace(state, package=official), replace(state, catalog_line=None)):
        assert len(render_package_files(changed).documents) == len(state.package.versions)
