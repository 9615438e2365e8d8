"""The state of the HTML pages: the packages whose pages are out of date, and what the home page shows."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Identity, Integer, SmallInteger, Table, Text
from sqlalchemy.dialects.postgresql import TIMESTAMP, UUID

from shared.tables.columns import metadata, moment

# One row. edition: the edition of the rendered HTML pages (indexer/pages/edition.py). built_at: when the
# newest of them were rendered. build: of the newest build, so that a worker knows whether it was its own.
page_state = Table(
    "page_state",
    metadata,
    Column("id", SmallInteger, primary_key=True, server_default="1"),
    Column("edition", Text, nullable=False, server_default=""),
    moment("built_at", required=True),
    Column("build", UUID),
)

# The places of packages on the lists of all packages, counted from 1, and the numbers of their versions.
page_positions = Table(
    "page_positions",
    metadata,
    Column("package_id", UUID, primary_key=True),
    Column("position", Integer, nullable=False, unique=True),
    Column("versions", Integer, nullable=False),
)

# One row: how many packages have places, and how many versions these have.
page_totals = Table(
    "page_totals",
    metadata,
    Column("id", SmallInteger, primary_key=True, server_default="1"),
    Column("packages", Integer, nullable=False),
    Column("versions", Integer, nullable=False),
)

# How many packages require each package that any requires.
page_required = Table(
    "page_required",
    metadata,
    Column("name", Text, primary_key=True),
    Column("dependents", Integer, nullable=False),
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
