"""The tables, as SQLAlchemy sees them; the migrations in deploy/migrations make them.

All live in the configured schema through search_path, so no schema is named here.
"""

from __future__ import annotations

from shared.tables.columns import metadata
from shared.tables.credentials import (
    oauth_state_secrets,
    package_rules,
    token_limits,
    trusted_publishers,
    used_identities,
    version_provenance,
)
from shared.tables.log import log_entries, log_lines, log_pending, log_state
from shared.tables.older_server import (
    audit_events,
    oauth_states,
    package_owners,
    package_version_advisories,
    package_versions,
    packages,
    tokens,
    users,
    web_sessions,
)
from shared.tables.pages import (
    page_changes,
    page_positions,
    page_releases,
    page_required,
    page_state,
    page_totals,
)
from shared.tables.publication import (
    catalog_changes,
    collected_uploads,
    edge_purges,
    index_state,
    private_packages,
    scrub_findings,
    scrub_progress,
    tree_state,
    version_state,
    version_tombstones,
)
from shared.tables.webhooks import webhook_deliveries, webhook_events, webhooks

__all__ = [
    "audit_events",
    "catalog_changes",
    "collected_uploads",
    "edge_purges",
    "index_state",
    "log_entries",
    "log_lines",
    "log_pending",
    "log_state",
    "metadata",
    "oauth_state_secrets",
    "oauth_states",
    "package_owners",
    "package_rules",
    "package_version_advisories",
    "package_versions",
    "packages",
    "page_changes",
    "page_positions",
    "page_releases",
    "page_required",
    "page_state",
    "page_totals",
    "private_packages",
    "scrub_findings",
    "scrub_progress",
    "token_limits",
    "tokens",
    "tree_state",
    "trusted_publishers",
    "used_identities",
    "users",
    "version_provenance",
    "version_state",
    "version_tombstones",
    "web_sessions",
    "webhook_deliveries",
    "webhook_events",
    "webhooks",
]
