"""The script that alembic runs. runner.py passes the connection and has locked the database."""

from __future__ import annotations

from alembic import context

from shared.tables import metadata

connection = context.config.attributes["connection"]
schema = context.config.attributes["schema"]
context.configure(connection=connection, target_metadata=metadata, version_table_schema=schema)
with context.begin_transaction():
    context.run_migrations()
