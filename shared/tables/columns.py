"""The metadata that holds all tables, and columns that many of them have."""

from __future__ import annotations

from sqlalchemy import Column, MetaData, func
from sqlalchemy.dialects.postgresql import TIMESTAMP, UUID

metadata = MetaData()


def random_id() -> Column[object]:
    """The column `id`: a random UUID, which Postgres makes."""
    return Column("id", UUID, primary_key=True, server_default=func.gen_random_uuid())


def moment(name: str, *, required: bool = False) -> Column[object]:
    """A column of a time with its zone; a required one is the time of the transaction unless it is given."""
    default = func.now() if required else None
    return Column(name, TIMESTAMP(timezone=True), nullable=not required, server_default=default)
