"""The transparency log (docs/log.md): its tree heads, its entries, and the lines that are not in it yet."""

from __future__ import annotations

from sqlalchemy import ARRAY, BigInteger, Column, Identity, LargeBinary, SmallInteger, Table, Text
from sqlalchemy.dialects.postgresql import TIMESTAMP

from shared.tables.columns import metadata, moment

# The one row of log_state holds the tree head that was signed last and the one before it, which stays the
# published one until the newer checkpoint is written. edge: for each level of tiles, the hashes of the
# partial tile (indexer/log/tiles.py). backfilled_at: when the last line that existed before the log did was
# handed to it.
log_state = Table(
    "log_state",
    metadata,
    Column("id", SmallInteger, primary_key=True, server_default="1"),
    Column("origin", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("edge", ARRAY(LargeBinary), nullable=False),
    Column("previous_size", BigInteger),
    Column("previous_root", LargeBinary),
    moment("backfilled_at"),
)

# Every entry that has an index in the log, which never changes. Entries from log_state.size on are not signed
# yet. published_at: when the line was handed to the log.
log_entries = Table(
    "log_entries",
    metadata,
    Column("entry_index", BigInteger, primary_key=True),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("entry", LargeBinary, nullable=False),
    Column("published_at", TIMESTAMP(timezone=True), nullable=False),
)

# Lines that readers see and that have no index in the log yet, in the order of their publication.
log_pending = Table(
    "log_pending",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("entry", LargeBinary, nullable=False),
    moment("published_at", required=True),
)

# The SHA-256 of the line of each version that was handed to the log last. The key is the name, because the
# log outlives the package's row.
log_lines = Table(
    "log_lines",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
)
