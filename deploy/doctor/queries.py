"""All SQL of the doctor. It reads the catalogs of Postgres and changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE")

_SERVER = text(
    """
    SELECT CAST(current_setting('server_version_num') AS integer) AS version,
           current_setting('server_version') AS version_text, pg_is_in_recovery() AS is_standby
    """
)
_EXTENSIONS = text("SELECT extname FROM pg_extension WHERE extname IN :names").bindparams(
    bindparam("names", expanding=True)
)
_LACKING = text(
    """
    SELECT c.relname || ' (' || string_agg(wanted.right_, ', ' ORDER BY wanted.right_) || ')'
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    CROSS JOIN unnest(CAST(:rights AS text[])) AS wanted (right_)
    WHERE n.nspname = :schema AND c.relkind IN ('r', 'p') AND c.relname <> ALL (CAST(:except AS text[]))
      AND NOT has_table_privilege(c.oid, wanted.right_)
    GROUP BY c.relname ORDER BY c.relname
    """
)


@dataclass(frozen=True, slots=True)
class Server:
    """version: in the form of server_version_num, 150004 for 15.4. is_standby: it accepts no writes."""

    version: int
    version_text: str
    is_standby: bool


async def server(tx: AsyncConnection) -> Server:
    """The server that the URL leads to."""
    return Server(**(await tx.execute(_SERVER)).one()._mapping)


async def extensions(tx: AsyncConnection, names: Sequence[str]) -> set[str]:
    """Those of these extensions that the database has."""
    return set((await tx.execute(_EXTENSIONS, {"names": list(names)})).scalars())


async def may_use_schema(tx: AsyncConnection, schema: str) -> bool | None:
    """True if this role may use the schema; None if there is no such schema."""
    statement = text(
        "SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace WHERE nspname = CAST(:schema AS name)"
    )
    may_use: bool | None = (await tx.execute(statement, {"schema": schema})).scalar_one_or_none()
    return may_use


async def tables_lacking_rights(tx: AsyncConnection, schema: str, *, besides: Sequence[str]) -> list[str]:
    """Tables that this role may not read and write, each with the missing rights. besides: tables to skip."""
    values = {"schema": schema, "rights": list(RIGHTS), "except": list(besides)}
    return list((await tx.execute(_LACKING, values)).scalars())


async def revision(tx: AsyncConnection, schema: str) -> str | None:
    """The schema's revision; None if it was never migrated."""
    table = f'"{schema}".alembic_version'
    known = await tx.execute(text("SELECT to_regclass(:table)::text"), {"table": table})
    if known.scalar_one() is None:
        return None
    stored: str | None = (await tx.execute(text(f"SELECT max(version_num) FROM {table}"))).scalar_one()  # noqa: S608
    return stored


async def now(tx: AsyncConnection) -> datetime:
    """The database's clock."""
    moment: datetime = (await tx.execute(text("SELECT clock_timestamp()"))).scalar_one()
    return moment


@dataclass(frozen=True, slots=True)
class Signed:
    """A version with its signature. key_id: as stored."""

    key_id: str
    name: str
    version: str
    cksum: str
    signature: bytes


_ONE_SIGNED_UNDER_EACH_ID = text(
    """
    SELECT one.* FROM (
        SELECT DISTINCT signature_key_id AS key_id FROM package_versions
        WHERE signature_kind IS NOT NULL AND signature_bytes IS NOT NULL
    ) AS used CROSS JOIN LATERAL (
        SELECT v.signature_key_id AS key_id, p.name, v.version, v.cksum, v.signature_bytes AS signature
        FROM package_versions v JOIN packages p ON p.id = v.package_id
        WHERE v.signature_key_id = used.key_id AND v.signature_kind IS NOT NULL
          AND v.signature_bytes IS NOT NULL
        LIMIT 1
    ) AS one
    ORDER BY one.key_id
    """
)


async def one_signed_under_each_id(tx: AsyncConnection) -> list[Signed]:
    """One version for each key id with which versions are signed, by id. No index serves this."""
    return [Signed(**row) for row in (await tx.execute(_ONE_SIGNED_UNDER_EACH_ID)).mappings()]
