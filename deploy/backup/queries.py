"""SQL of backups."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


async def server_major(tx: AsyncConnection) -> int:
    """The server's major version, such as 18."""
    number = await tx.scalar(text("SELECT current_setting('server_version_num')"))
    return int(number or 0) // 10000


async def has_tables(tx: AsyncConnection, schema: str) -> bool:
    """True if a registry's tables are in the schema."""
    return bool(
        await tx.scalar(text("SELECT to_regclass(:name) IS NOT NULL"), {"name": f'"{schema}".packages'})
    )


def commit_if_restored(schema: str) -> str:
    """Statements that end a restore; the first one fails if a registry's tables are not in the schema."""
    return f"""SELECT '"{schema}".packages'::regclass;\nCOMMIT;\n"""
