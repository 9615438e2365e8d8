"""The state of publication: generations, staged archives, the catalog, removals, the scrub and purges."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import UUID

from shared.tables.columns import metadata, moment

# Work to do is a query: generation > published_generation. dirty_since: when the oldest unpublished
# change was committed. catalog_line: the package's rendered catalog object, without a separator.
# lines_generation: up to which generation the package's lines were handed to the transparency log.
index_state = Table(
    "index_state",
    metadata,
    Column("package_id", UUID, ForeignKey("packages.id", ondelete="CASCADE"), primary_key=True),
    Column("generation", BigInteger, nullable=False, server_default="1"),
    Column("published_generation", BigInteger, nullable=False, server_default="0"),
    Column("catalog_line", LargeBinary),
    moment("dirty_since"),
    moment("published_at"),
    Column("lines_generation", BigInteger, nullable=False, server_default="0"),
)

# A package that was published as a private one of a public registry (shared/private_names.py). catalog_line:
# as in index_state, which has none for it.
private_packages = Table(
    "private_packages",
    metadata,
    Column("package_id", UUID, ForeignKey("packages.id", ondelete="CASCADE"), primary_key=True),
    Column("catalog_line", LargeBinary, nullable=False),
    moment("published_at", required=True),
)

# A row for each published package line that the catalog does not hold yet. Rows, not a counter in
# index_state: the catalog's builder then never waits for a package that is being published.
catalog_changes = Table(
    "catalog_changes",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("package_id", UUID, nullable=False),
    moment("created_at", required=True),
)

# staged: the archive still waits in staging/, under its checksum and upload_id (shared/blobs.py); an older
# release gives no upload_id. metadata_digest: SHA-256 of the metadata document last put, so that a
# publication writes only documents that changed.
version_state = Table(
    "version_state",
    metadata,
    Column("package_id", UUID, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("staged", Boolean, nullable=False, server_default=text("true")),
    Column("metadata_digest", Text),
    Column("upload_id", Text),
    ForeignKeyConstraint(
        ["package_id", "version"],
        ["package_versions.package_id", "package_versions.version"],
        ondelete="CASCADE",
    ),
)

# An upload that garbage collection removed. A row is kept for good: no publish may rely on the upload again.
collected_uploads = Table(
    "collected_uploads",
    metadata,
    Column("upload_id", Text, primary_key=True),
    moment("collected_at", required=True),
)

# A version that was removed for legal reasons. It is never published again; the worker deletes its files.
version_tombstones = Table(
    "version_tombstones",
    metadata,
    Column("package_id", UUID, ForeignKey("packages.id"), primary_key=True),
    Column("version", Text, primary_key=True),
    Column("cksum", Text, nullable=False),
    Column("reason", Text, nullable=False),
    moment("removed_at", required=True),
)

# The progress of the present round of the scrub: the last version that a worker took, NULL at
# the beginning, and when the next round may begin. One row.
scrub_progress = Table(
    "scrub_progress",
    metadata,
    Column("id", SmallInteger, primary_key=True, server_default="1"),
    Column("name", Text, nullable=False, server_default=""),
    Column("version", Text, nullable=False, server_default=""),
    moment("next_round_at", required=True),
)

# An archive that was not what its row says when the scrub last read it. kind: indexer/upkeep/differences.py.
scrub_findings = Table(
    "scrub_findings",
    metadata,
    Column("package_id", UUID, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    moment("found_at", required=True),
    moment("checked_at", required=True),
    ForeignKeyConstraint(
        ["package_id", "version"],
        ["package_versions.package_id", "package_versions.version"],
        ondelete="CASCADE",
    ),
)

# The state of the published tree as a whole. catalog_generation: the number of the last catalog.
tree_state = Table(
    "tree_state",
    metadata,
    Column("id", SmallInteger, primary_key=True, server_default="1"),
    Column("catalog_generation", BigInteger, nullable=False, server_default=text("0")),
)

# What edges have to drop (indexer/purging). A key is purged twice, a moment apart: round. due_at: when it is
# purged next. change: raised with each change of the files.
edge_purges = Table(
    "edge_purges",
    metadata,
    Column("surrogate_key", Text, primary_key=True),
    Column("change", BigInteger, nullable=False, server_default=text("1")),
    Column("round", SmallInteger, nullable=False, server_default=text("1")),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    moment("due_at", required=True),
)
