"""Postgres and Redis."""

from __future__ import annotations

from pydantic import AliasChoices, BaseModel, Field, SecretStr

from shared.setting_types import DatabaseUrl, RedisUrl, SchemaName
from shared.variables import PREFIX


class ServiceSettings(BaseModel):
    """Postgres and Redis."""

    database_url: DatabaseUrl = Field(
        SecretStr("postgres://x07:x07@127.0.0.1:5432/x07_registry"),
        validation_alias=AliasChoices(f"{PREFIX}DATABASE_URL", "DATABASE_URL"),
        description="URL of Postgres, as libpq or sqlx writes it (`postgres://`, "
        "`?host=/socket/dir`, `sslmode`).",
    )
    database_schema: SchemaName = Field("public", description="Schema that holds the tables.")
    database_pool_size: int = Field(
        10, ge=1, le=1000, description="Maximum number of database connections of a process."
    )
    database_timeout_seconds: float = Field(
        30.0,
        ge=0.1,
        le=3600,
        description="How long a statement may take in Postgres. Migrations have no limit.",
    )
    redis_url: RedisUrl = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="URL of Redis or Valkey, for jobs and messages: `redis://`, `rediss://`, `unix://`, or "
        "`redis+sentinel://HOST:PORT,…/NAME/DATABASE`. Its data need not survive a restart.",
    )
    redis_namespace: str = Field(
        "x07-registry",
        min_length=1,
        description="Prefix of the queue, of keys and channels, so that registries can share one Redis. "
        "Keys of single jobs begin with `arq:`.",
    )
