"""Renders the advisories of a version, in the shape of `GET /v1/packages/{name}/{version}/advisories`.

Only versions that have or had an advisory have such a file (contract, 6.4). Of any other version, readers
answer the empty list (shared/storage/views.py).
"""

from __future__ import annotations

import msgspec

from indexer.rows import PackageRow, VersionRow
from shared.package_documents import AdvisoryList, advisory_of


def render_advisory_list(package: PackageRow, row: VersionRow) -> bytes:
    """The list of a version, newest first. Raises DatabaseCorrupt if an advisory cannot be rendered."""
    found = tuple(advisory_of(package.name, row.version, advisory) for advisory in row.ever_advised)
    return msgspec.json.encode(AdvisoryList(name=package.name, version=row.version, advisories=found))
