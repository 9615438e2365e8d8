"""Limits of tokens, secrets of sign-in attempts, and trusted publishers, beside the older tables."""

from __future__ import annotations

from sqlalchemy import ARRAY, Boolean, Column, ForeignKey, ForeignKeyConstraint, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP, UUID

from shared.tables.columns import metadata, moment, random_id

# Ours, beside tokens: what a token is limited to. expires_at, packages: None for no limit. packages: names,
# and prefixes that end in `*`. provenance, publisher_id: the build that a token of
# trusted publishing was made for, and the trusted publisher that let it.
token_limits = Table(
    "token_limits",
    metadata,
    Column("token_id", UUID, ForeignKey("tokens.id", ondelete="CASCADE"), primary_key=True),
    moment("expires_at"),
    Column("packages", ARRAY(Text)),
    Column("provenance", JSONB(none_as_null=True)),
    Column("publisher_id", UUID),
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

# A build that may publish a package, on behalf of the user who said so. name: of the package, which may not
# exist yet. repository: its path at the issuer. owner_id: the issuer's number of the repository's owner, from
# the first use on.
trusted_publishers = Table(
    "trusted_publishers",
    metadata,
    random_id(),
    Column("name", Text, nullable=False),
    Column("user_id", UUID, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("issuer", Text, nullable=False),
    Column("repository", Text, nullable=False),
    Column("workflow", Text, nullable=False),
    Column("environment", Text),
    Column("owner_id", Text),
    moment("created_at", required=True),
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
