"""The tables, as SQLAlchemy sees them; the migrations in deploy/migrations make them.

The first nine are the deployed registry's (contract, 8.1) and keep their names and columns. Ours are
`index_state` (one row a package: the transactional outbox), `version_state` (one row a version) and
`oauth_state_secrets` (one row a sign-in attempt).
All live in the configured schema through search_path, so no schema is named here.
"""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP, UUID

metadata = MetaData()


def _id() -> Column[object]:
    return Column("id", UUID, primary_key=True, server_default=func.gen_random_uuid())


def _moment(name: str, *, required: bool = False) -> Column[object]:
    default = func.now() if required else None
    return Column(name, TIMESTAMP(timezone=True), nullable=not required, server_default=default)


users = Table(
    "users",
    metadata,
    _id(),
    Column("handle", Text, nullable=False, unique=True),
    _moment("created_at", required=True),
    Column("created_via", Text, nullable=False, server_default="bootstrap"),
    Column("github_user_id", BigInteger),
    Column("github_login", Text),
    Column("github_avatar_url", Text),
    Column("github_profile_url", Text),
    Column("github_email", Text),
    Column("github_email_verified", Boolean, nullable=False, server_default=text("false")),
    Column("github_email_primary", Boolean, nullable=False, server_default=text("false")),
)

tokens = Table(
    "tokens",
    metadata,
    _id(),
    Column("user_id", UUID, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("token_hash", Text, nullable=False, unique=True),
    Column("label", Text, nullable=False, server_default=""),
    Column("scopes", ARRAY(Text), nullable=False, server_default="{}"),
    _moment("created_at", required=True),
    _moment("last_used_at"),
    _moment("revoked_at"),
)

# Ours, beside tokens: what a token is limited to. expires_at, packages: None for no limit. packages: names,
# and prefixes that end in `*`. provenance, publisher_id: the build that a token of
# trusted publishing was made for, and the trusted publisher that let it.
token_limits = Table(
    "token_limits",
    metadata,
    Column("token_id", UUID, ForeignKey("tokens.id", ondelete="CASCADE"), primary_key=True),
    _moment("expires_at"),
    Column("packages", ARRAY(Text)),
    Column("provenance", JSONB(none_as_null=True)),
    Column("publisher_id", UUID),
)

packages = Table(
    "packages",
    metadata,
    _id(),
    Column("name", Text, nullable=False, unique=True),
    _moment("created_at", required=True),
    Column("created_by", UUID, ForeignKey("users.id"), nullable=False),
    Column("latest_version", Text),
)

package_owners = Table(
    "package_owners",
    metadata,
    Column("package_id", UUID, ForeignKey("packages.id", ondelete="CASCADE"), primary_key=True),
    Column("user_id", UUID, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    _moment("created_at", required=True),
)

package_versions = Table(
    "package_versions",
    metadata,
    Column("package_id", UUID, ForeignKey("packages.id", ondelete="CASCADE"), primary_key=True),
    Column("version", Text, primary_key=True),
    Column("cksum", Text, nullable=False),
    Column("yanked", Boolean, nullable=False, server_default=text("false")),
    Column("manifest", JSONB, nullable=False),
    _moment("published_at", required=True),
    Column("published_by", UUID, ForeignKey("users.id"), nullable=False),
    Column("scale_classes_supported", ARRAY(Text), nullable=False, server_default="{}"),
    Column("scale_tested", Boolean, nullable=False, server_default=text("false")),
    Column("scale_test_evidence_ref", Text),
    Column("signature_kind", Text),
    Column("signature_key_id", Text),
    Column("signature_bytes", LargeBinary),
)

audit_events = Table(
    "audit_events",
    metadata,
    _id(),
    _moment("created_at", required=True),
    Column("actor_user_id", UUID, ForeignKey("users.id")),
    Column("actor_token_id", UUID, ForeignKey("tokens.id")),
    Column("action", Text, nullable=False),
    Column("package_name", Text),
    Column("package_version", Text),
    Column("details", JSONB, nullable=False, server_default="{}"),
)

web_sessions = Table(
    "web_sessions",
    metadata,
    _id(),
    Column("user_id", UUID, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("session_token_hash", Text, nullable=False, unique=True),
    Column("csrf_token", Text, nullable=False),
    _moment("created_at", required=True),
    _moment("last_seen_at", required=True),
    Column("expires_at", TIMESTAMP(timezone=True), nullable=False),
)

oauth_states = Table(
    "oauth_states",
    metadata,
    Column("state", Text, primary_key=True),
    Column("next_url", Text, nullable=False),
    _moment("created_at", required=True),
    Column("expires_at", TIMESTAMP(timezone=True), nullable=False),
)

# Ours, beside oauth_states. code_verifier: PKCE (RFC 7636). browser_hash: SHA-256 hex of the cookie
# that ties the attempt to a browser. An attempt that the older server began has no row.
oauth_state_secrets = Table(
    "oauth_state_secrets",
    metadata,
    Column("state", Text, ForeignKey("oauth_states.state", ondelete="CASCADE"), primary_key=True),
    Column("code_verifier", Text, nullable=False),
    Column("browser_hash", Text, nullable=False),
)

package_version_advisories = Table(
    "package_version_advisories",
    metadata,
    _id(),
    Column("package_id", UUID, ForeignKey("packages.id", ondelete="CASCADE"), nullable=False),
    Column("version", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("summary", Text, nullable=False),
    Column("details", Text, nullable=False, server_default=""),
    Column("url", Text),
    _moment("created_at", required=True),
    Column("created_by", UUID, ForeignKey("users.id")),
    _moment("withdrawn_at"),
    Column("withdrawn_by", UUID, ForeignKey("users.id")),
    ForeignKeyConstraint(
        ["package_id", "version"],
        ["package_versions.package_id", "package_versions.version"],
        ondelete="CASCADE",
    ),
)

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
    _moment("dirty_since"),
    _moment("published_at"),
    Column("lines_generation", BigInteger, nullable=False, server_default="0"),
)

# A package that was published as a private one of a public registry (shared/private_names.py). catalog_line:
# as in index_state, which has none for it.
private_packages = Table(
    "private_packages",
    metadata,
    Column("package_id", UUID, ForeignKey("packages.id", ondelete="CASCADE"), primary_key=True),
    Column("catalog_line", LargeBinary, nullable=False),
    _moment("published_at", required=True),
)

# A row for each published package line that the catalog does not hold yet. Rows, not a counter in
# index_state: the catalog's builder then never waits for a package that is being published.
catalog_changes = Table(
    "catalog_changes",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("package_id", UUID, nullable=False),
    _moment("created_at", required=True),
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
    _moment("collected_at", required=True),
)

# A version that was removed for legal reasons. It is never published again; the worker deletes its files.
version_tombstones = Table(
    "version_tombstones",
    metadata,
    Column("package_id", UUID, ForeignKey("packages.id"), primary_key=True),
    Column("version", Text, primary_key=True),
    Column("cksum", Text, nullable=False),
    Column("reason", Text, nullable=False),
    _moment("removed_at", required=True),
)

# How far workers are in the present round of the scrub: the last version that one of them took, nothing at
# the beginning; and when the next round may begin. One row.
scrub_progress = Table(
    "scrub_progress",
    metadata,
    Column("id", SmallInteger, primary_key=True, server_default="1"),
    Column("name", Text, nullable=False, server_default=""),
    Column("version", Text, nullable=False, server_default=""),
    _moment("next_round_at", required=True),
)

# An archive that was not what its row says when the scrub last read it. kind: indexer/upkeep/differences.py.
scrub_findings = Table(
    "scrub_findings",
    metadata,
    Column("package_id", UUID, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    _moment("found_at", required=True),
    _moment("checked_at", required=True),
    ForeignKeyConstraint(
        ["package_id", "version"],
        ["package_versions.package_id", "package_versions.version"],
        ondelete="CASCADE",
    ),
)

# A build that may publish a package, on behalf of the user who said so. name: of the package, which may not
# exist yet. repository: its path at the issuer. owner_id: the issuer's number of the repository's owner, from
# the first use on.
trusted_publishers = Table(
    "trusted_publishers",
    metadata,
    _id(),
    Column("name", Text, nullable=False),
    Column("user_id", UUID, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("issuer", Text, nullable=False),
    Column("repository", Text, nullable=False),
    Column("workflow", Text, nullable=False),
    Column("environment", Text),
    Column("owner_id", Text),
    _moment("created_at", required=True),
)

# Identities of builds that were exchanged for a token, until they expire: none is exchanged twice.
used_identities = Table(
    "used_identities",
    metadata,
    Column("issuer", Text, primary_key=True),
    Column("jti", Text, primary_key=True),
    Column("expires_at", TIMESTAMP(timezone=True), nullable=False),
)

# What owners demand for a package; a package without a row demands nothing.
package_rules = Table(
    "package_rules",
    metadata,
    Column("package_id", UUID, ForeignKey("packages.id", ondelete="CASCADE"), primary_key=True),
    Column("trusted_publishing_only", Boolean, nullable=False, server_default=text("false")),
)

# The build that published a version (shared/provenance.py); a version of a person has no row.
version_provenance = Table(
    "version_provenance",
    metadata,
    Column("package_id", UUID, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("provenance", JSONB, nullable=False),
    ForeignKeyConstraint(
        ["package_id", "version"],
        ["package_versions.package_id", "package_versions.version"],
        ondelete="CASCADE",
    ),
)

# What the published tree as a whole is at. catalog_generation: the number of the last catalog.
tree_state = Table(
    "tree_state",
    metadata,
    Column("id", SmallInteger, primary_key=True, server_default="1"),
    Column("catalog_generation", BigInteger, nullable=False, server_default=text("0")),
)

# What the HTML pages are at. edition: indexer/pages/edition.py. built_at: of the last ones. One row.
page_state = Table(
    "page_state",
    metadata,
    Column("id", SmallInteger, primary_key=True, server_default="1"),
    Column("edition", Text, nullable=False, server_default=""),
    _moment("built_at", required=True),
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

# The transparency log (docs/log.md). The one row of log_state is the tree head that was signed last, and
# the one before it, which is still the published one while the newer checkpoint is on its way. edge: of
# each level of tiles, the hashes of the partial tile (indexer/log/tiles.py). backfilled_at: since when
# every line that was there at the beginning has been handed to the log.
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
    _moment("backfilled_at"),
)

# Every entry that has its place in the log, for ever: those from log_state.size on are not signed yet.
# published_at: when the line was handed to the log.
log_entries = Table(
    "log_entries",
    metadata,
    Column("entry_index", BigInteger, primary_key=True),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("entry", LargeBinary, nullable=False),
    Column("published_at", TIMESTAMP(timezone=True), nullable=False),
)

# Lines that readers see and that have no place in the log yet, in the order of their publication.
log_pending = Table(
    "log_pending",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("entry", LargeBinary, nullable=False),
    _moment("published_at", required=True),
)

# Of each version, the SHA-256 of the line that was handed to the log last. It is kept by name, because the
# log outlives the package's row.
log_lines = Table(
    "log_lines",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
)

# Who hears of changes (docs/webhooks.md). package: None for all. of_all: an admin made it, so it hears of
# packages that its user does not own. secret: `whsec_…`; previous_secret signs, too, until previous_until.
# failing_since: nothing is sent since then, for the reason in failure.
webhooks = Table(
    "webhooks",
    metadata,
    _id(),
    Column("user_id", UUID, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("url", Text, nullable=False),
    Column("events", ARRAY(Text), nullable=False),
    Column("package", Text),
    Column("of_all", Boolean, nullable=False, server_default=text("false")),
    Column("secret", Text, nullable=False),
    Column("previous_secret", Text),
    _moment("previous_until"),
    Column("is_active", Boolean, nullable=False, server_default=text("true")),
    _moment("failing_since"),
    Column("failure", Text),
    _moment("created_at", required=True),
)

# What happened, if a webhook hears of it. A trigger on audit_events writes it with the change
# (deploy/migrations/versions/0016_webhooks.py). package_id: None for a test, which concerns no package.
# generation: the package's, that contains the change.
webhook_events = Table(
    "webhook_events",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("message_id", UUID, nullable=False, server_default=func.gen_random_uuid()),
    Column("package_id", UUID),
    Column("generation", BigInteger),
    Column("type", Text, nullable=False),
    Column("data", JSONB, nullable=False),
    _moment("created_at", required=True),
)

# An event for a webhook. done_at: None while it waits; then error is None if it arrived. due_at: when it may
# be tried next. status: that of the last answer, None if there was none.
webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("event_id", BigInteger, ForeignKey("webhook_events.id", ondelete="CASCADE"), primary_key=True),
    Column("hook_id", UUID, ForeignKey("webhooks.id", ondelete="CASCADE"), primary_key=True),
    Column("package_id", UUID),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    _moment("due_at", required=True),
    _moment("first_tried_at"),
    _moment("tried_at"),
    _moment("done_at"),
    Column("status", Integer),
    Column("error", Text),
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
    _moment("due_at", required=True),
)
