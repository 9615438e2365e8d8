"""The nine tables of the deployed registry (contract, 8.1), with its names and columns."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    LargeBinary,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP, UUID

from shared.tables.columns import metadata, moment, random_id

users = Table(
    "users",
    metadata,
    random_id(),
    Column("handle", Text, nullable=False, unique=True),
    moment("created_at", required=True),
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
    random_id(),
    Column("user_id", UUID, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("token_hash", Text, nullable=False, unique=True),
    Column("label", Text, nullable=False, server_default=""),
    Column("scopes", ARRAY(Text), nullable=False, server_default="{}"),
    moment("created_at", required=True),
    moment("last_used_at"),
    moment("revoked_at"),
)

packages = Table(
    "packages",
    metadata,
    random_id(),
    Column("name", Text, nullable=False, unique=True),
    moment("created_at", required=True),
    Column("created_by", UUID, ForeignKey("users.id"), nullable=False),
    Column("latest_version", Text),
)

package_owners = Table(
    "package_owners",
    metadata,
    Column("package_id", UUID, ForeignKey("packages.id", ondelete="CASCADE"), primary_key=True),
    Column("user_id", UUID, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    moment("created_at", required=True),
)

package_versions = Table(
    "package_versions",
    metadata,
    Column("package_id", UUID, ForeignKey("packages.id", ondelete="CASCADE"), primary_key=True),
    Column("version", Text, primary_key=True),
    Column("cksum", Text, nullable=False),
    Column("yanked", Boolean, nullable=False, server_default=text("false")),
    Column("manifest", JSONB, nullable=False),
    moment("published_at", required=True),
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
    random_id(),
    moment("created_at", required=True),
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
    random_id(),
    Column("user_id", UUID, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("session_token_hash", Text, nullable=False, unique=True),
    Column("csrf_token", Text, nullable=False),
    moment("created_at", required=True),
    moment("last_seen_at", required=True),
    Column("expires_at", TIMESTAMP(timezone=True), nullable=False),
)

oauth_states = Table(
    "oauth_states",
    metadata,
    Column("state", Text, primary_key=True),
    Column("next_url", Text, nullable=False),
    moment("created_at", required=True),
    Column("expires_at", TIMESTAMP(timezone=True), nullable=False),
)

package_version_advisories = Table(
    "package_version_advisories",
    metadata,
    random_id(),
    Column("package_id", UUID, ForeignKey("packages.id", ondelete="CASCADE"), nullable=False),
    Column("version", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("summary", Text, nullable=False),
    Column("details", Text, nullable=False, server_default=""),
    Column("url", Text),
    moment("created_at", required=True),
    Column("created_by", UUID, ForeignKey("users.id")),
    moment("withdrawn_at"),
    Column("withdrawn_by", UUID, ForeignKey("users.id")),
    ForeignKeyConstraint(
        ["package_id", "version"],
        ["package_versions.package_id", "package_versions.version"],
        ondelete="CASCADE",
    ),
)
