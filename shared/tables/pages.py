"""The state of the HTML pages: the packages whose pages are out of date, and what the home page shows."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Identity, SmallInteger, Table, Text
from sqlalchemy.dialects.postgresql import TIMESTAMP, UUID

from shared.tables.columns import metadata, moment

# One row. edition: the edition of the rendered HTML pages (indexer/pages/edition.py). built_at: when the
# newest of them were rendered.
page_state = Table(
    "page_state",
    metadata,
    Column("id", SmallInteger, primary_key=True, server_default="1"),
    Column("edition", Text, nullable=False, server_default=""),
    moment("built_at", required=True),
)

# A row for each published package whose HTML pages are not rendered yet, as in catalog_changes.
page_changes = Table(
    "page_changes",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("package_id", UUID, nullable=False),
)

# The newest versions of all packages, for the home page: a few hundred rows, which the worker keeps.
page_releases = Table(
    "page_releases",
    metadata,
    Column("package_id", UUID, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("published_at", TIMESTAMP(timezone=True), nullable=False),
)
