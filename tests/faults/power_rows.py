"""Reads every table of a registry as one JSON text, and puts such a text back."""

from __future__ import annotations

import asyncpg


class AllRows:
    """The tables of one database, over one connection of its own."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record], columns: dict[str, list[str]]) -> None:
        self._connection = connection
        self._columns = columns
        pairs = ", ".join(
            f"'{table}', (SELECT coalesce(json_agg(t), '[]') FROM \"{table}\" t)"  # noqa: S608 - our own names
            for table in columns
        )
        self._select = f"SELECT json_build_object({pairs})::text"

    @classmethod
    async def of(cls, url: str, schema: str) -> AllRows:
        """Connect, and learn which tables and columns there are. Generated columns are left out."""
        connection = await asyncpg.connect(url, server_settings={"search_path": f'"{schema}", public'})
        found = await connection.fetch(
            """
            SELECT c.table_name, array_agg(c.column_name::text ORDER BY ordinal_position) AS names
            FROM information_schema.columns c
            JOIN information_schema.tables t USING (table_schema, table_name)
            WHERE c.table_schema = $1 AND t.table_type = 'BASE TABLE' AND c.is_generated = 'NEVER'
            GROUP BY c.table_name ORDER BY c.table_name
            """,
            schema,
        )
        return cls(connection, {row["table_name"]: row["names"] for row in found})

    async def read(self) -> str:
        """Every row of every table."""
        text: str = await self._connection.fetchval(self._select)
        return text

    async def put(self, rows: str) -> None:
        """Make the tables hold exactly these rows. No trigger runs."""
        tables = ", ".join(f'"{table}"' for table in self._columns)
        async with self._connection.transaction():
            await self._connection.execute("SET LOCAL session_replication_role = replica")
            await self._connection.execute(f"TRUNCATE {tables}")
            await self._connection.execute("SELECT set_config('x07.rows', $1, true)", rows)
            for table, names in self._columns.items():
                listed = ", ".join(f'"{name}"' for name in names)
                await self._connection.execute(
                    f'INSERT INTO "{table}" ({listed}) OVERRIDING SYSTEM VALUE SELECT {listed} FROM'  # noqa: S608
                    f' json_populate_recordset(NULL::"{table}",'
                    f" current_setting('x07.rows')::json -> '{table}')"
                )

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()
