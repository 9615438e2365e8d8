"""Checks that Postgres answers, is new enough, accepts writes, and has extensions, rights and revision."""

from __future__ import annotations

from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from deploy.doctor import queries
from deploy.doctor.finding import Finding, failed, ok
from deploy.migrations.revision import newest_revision
from shared.database import Database
from shared.settings import Settings

CHECK: Final = "database"
MEND: Final = "start Postgres, or correct X07_REGISTRY_DATABASE_URL (host, port, user, password, database)"
MIGRATE: Final = "run `x07-registry migrate` as a role that owns the schema"
MIN_VERSION: Final = 150_000
EXTENSIONS: Final = ("pg_trgm",)
# Only the role that migrates needs rights on these; servers and workers do not.
NOT_OURS: Final = ("alembic_version", "_sqlx_migrations")


async def examine_database(settings: Settings) -> list[Finding]:
    """A finding for the server, its extensions, this role's rights and the schema's revision."""
    database = Database(settings, may_lack_tables=True)
    try:
        async with database.transaction() as tx:
            found = await queries.server(tx)
            return [
                _server(found),
                _connection(database),
                await _extensions(tx),
                await _rights(tx, database.schema),
                await _revision(tx, database.schema),
            ]
    finally:
        await database.close()


def _server(found: queries.Server) -> Finding:
    if found.version < MIN_VERSION:
        wrong = f"Postgres {found.version_text} is too old; 15 or newer is needed"
        return failed(CHECK, wrong, "upgrade the server, or name another in X07_REGISTRY_DATABASE_URL")
    if found.is_standby:
        wrong = "the server is a read-only standby"
        return failed(CHECK, wrong, "name the primary in X07_REGISTRY_DATABASE_URL")
    return ok(CHECK, f"Postgres {found.version_text} answers")


def _connection(database: Database) -> Finding:
    where = f'the schema "{database.schema}" and the limits'
    if database.is_pooled:
        return ok(f"{CHECK} connection", f"through a pooler; every transaction sets {where}")
    return ok(f"{CHECK} connection", f"direct; {where} are in force")


async def _extensions(tx: AsyncConnection) -> Finding:
    check = f"{CHECK} extensions"
    missing = sorted(set(EXTENSIONS) - await queries.extensions(tx, EXTENSIONS))
    if not missing:
        return ok(check, ", ".join(EXTENSIONS))
    mend = f"run CREATE EXTENSION {missing[0]} in this database as its owner, then `x07-registry migrate`"
    return failed(check, f"missing: {', '.join(missing)}", mend)


async def _rights(tx: AsyncConnection, schema: str) -> Finding:
    check = f"{CHECK} rights"
    may_use = await queries.may_use_schema(tx, schema)
    if may_use is None:
        return failed(check, f'there is no schema "{schema}"', MIGRATE)
    if not may_use:
        return failed(
            check, f'this role may not use the schema "{schema}"', f'GRANT USAGE ON SCHEMA "{schema}"'
        )
    lacking = await queries.tables_lacking_rights(tx, schema, besides=NOT_OURS)
    if lacking:
        mend = f'GRANT {", ".join(queries.RIGHTS)} ON ALL TABLES IN SCHEMA "{schema}" to this role'
        return failed(check, f"this role lacks rights on {', '.join(lacking)}", mend)
    return ok(check, f'every table of the schema "{schema}" can be read and written')


async def _revision(tx: AsyncConnection, schema: str) -> Finding:
    check, ours = f"{CHECK} schema", newest_revision()
    stored = await queries.revision(tx, schema)
    if stored is None or stored < ours:
        return failed(check, f"revision {stored or 'none'}; this program needs {ours}", MIGRATE)
    if stored > ours:
        return ok(check, f"revision {stored}, newer than this program ({ours}); an upgrade is under way")
    return ok(check, f"revision {stored}")
