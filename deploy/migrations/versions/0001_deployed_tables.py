"""The nine tables of the deployed registry (contract, 8.1).

A database that has them is only stamped with this revision (runner.py); its tables stay as they are.
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE users (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    handle text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_via text NOT NULL DEFAULT 'bootstrap',
    github_user_id bigint,
    github_login text,
    github_avatar_url text,
    github_profile_url text,
    github_email text,
    github_email_verified boolean NOT NULL DEFAULT false,
    github_email_primary boolean NOT NULL DEFAULT false,
    CONSTRAINT users_created_via_check CHECK (created_via IN ('bootstrap', 'github'))
);
CREATE UNIQUE INDEX users_github_user_id_uq ON users (github_user_id) WHERE github_user_id IS NOT NULL;

CREATE TABLE tokens (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    token_hash text NOT NULL UNIQUE,
    label text NOT NULL DEFAULT '',
    scopes text[] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    revoked_at timestamptz
);
CREATE INDEX tokens_user_id_created_at_idx ON tokens (user_id, created_at DESC);

CREATE TABLE packages (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid NOT NULL REFERENCES users (id),
    latest_version text
);

CREATE TABLE package_owners (
    package_id uuid NOT NULL REFERENCES packages (id) ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (package_id, user_id)
);

CREATE TABLE package_versions (
    package_id uuid NOT NULL REFERENCES packages (id) ON DELETE CASCADE,
    version text NOT NULL,
    cksum text NOT NULL,
    yanked boolean NOT NULL DEFAULT false,
    manifest jsonb NOT NULL,
    published_at timestamptz NOT NULL DEFAULT now(),
    published_by uuid NOT NULL REFERENCES users (id),
    scale_classes_supported text[] NOT NULL DEFAULT '{}',
    scale_tested boolean NOT NULL DEFAULT false,
    scale_test_evidence_ref text,
    signature_kind text,
    signature_key_id text,
    signature_bytes bytea,
    PRIMARY KEY (package_id, version)
);
CREATE INDEX package_versions_package_id_published_at_idx ON package_versions (package_id, published_at DESC);
CREATE INDEX package_versions_scale_tested_true_idx ON package_versions (scale_tested)
    WHERE scale_tested = true;

CREATE TABLE audit_events (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    actor_user_id uuid REFERENCES users (id),
    actor_token_id uuid REFERENCES tokens (id),
    action text NOT NULL,
    package_name text,
    package_version text,
    details jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_events_actor_user_id_created_at_idx ON audit_events (actor_user_id, created_at DESC);

CREATE TABLE web_sessions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    session_token_hash text NOT NULL UNIQUE,
    csrf_token text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX web_sessions_user_id_idx ON web_sessions (user_id);
CREATE INDEX web_sessions_expires_at_idx ON web_sessions (expires_at);

CREATE TABLE oauth_states (
    state text PRIMARY KEY,
    next_url text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX oauth_states_expires_at_idx ON oauth_states (expires_at);

CREATE TABLE package_version_advisories (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    package_id uuid NOT NULL REFERENCES packages (id) ON DELETE CASCADE,
    version text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('broken', 'security', 'deprecated')),
    severity text NOT NULL CHECK (severity IN ('low', 'medium', 'high', 'critical')),
    summary text NOT NULL,
    details text NOT NULL DEFAULT '',
    url text,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid REFERENCES users (id),
    withdrawn_at timestamptz,
    withdrawn_by uuid REFERENCES users (id),
    FOREIGN KEY (package_id, version) REFERENCES package_versions (package_id, version) ON DELETE CASCADE
);
CREATE INDEX package_version_advisories_package_id_version_idx
    ON package_version_advisories (package_id, version);
CREATE INDEX package_version_advisories_package_id_withdrawn_at_idx
    ON package_version_advisories (package_id, withdrawn_at);
"""


def upgrade() -> None:
    """Create the tables in the first schema of search_path."""
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)
