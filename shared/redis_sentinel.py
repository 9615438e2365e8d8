"""Connections to the primary that Redis Sentinel or Valkey Sentinel names.

Each new connection asks a Sentinel first. In a failover, the old primary dies or closes its connections, and
the next ones lead to the new primary.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, parse_url
from redis.asyncio.sentinel import MasterNotFoundError, SentinelConnectionPool
from redis.exceptions import RedisError

from shared.host_port import HostPort
from shared.redis_address import Sentinels


class SentinelClient:
    """Asks Sentinels where the primary is, the one first that answered last. It keeps no connection."""

    def __init__(self, hosts: tuple[HostPort, ...], connection_to: Callable[..., AbstractConnection]) -> None:
        self._hosts = hosts
        self._connection_to = connection_to

    async def discover_master(self, name: str) -> HostPort:
        """The address of the primary, as SentinelConnectionPool asks for it. Raises MasterNotFoundError."""
        for asked in self._hosts:
            try:
                found = await self._ask(asked, name)
            except (RedisError, OSError):
                continue
            if found is not None:
                self._hosts = (asked, *(other for other in self._hosts if other != asked))
                return found
        raise MasterNotFoundError(f"no Sentinel names a primary {name!r}")

    async def _ask(self, asked: HostPort, name: str) -> HostPort | None:
        connection = self._connection_to(host=asked.host, port=asked.port)
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
            await connection.send_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)
            found: Any = await connection.read_response()
        finally:
            await connection.disconnect(nowait=True)  # closes at once, even if this task is cancelled
        return None if found is None else HostPort(found[0].decode(), int(found[1]))


def open_primary_pool(url: str, sentinels: Sentinels, timeout_s: float) -> SentinelConnectionPool:
    """A pool, which connects with the first command. url: credential, database and TLS of the primary.

    timeout_s: how long a connection, and each answer, may take, of the primary and of each Sentinel.
    """
    primary: dict[str, Any] = dict(parse_url(url))
    kind = primary.pop("connection_class", Connection)
    primary |= {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
    own = {"username": sentinels.username, "password": sentinels.password, "db": 0}
    client = SentinelClient(sentinels.hosts, partial(kind, **primary | own))
    pool: Any = SentinelConnectionPool
    return pool(sentinels.name, client, ssl=kind is SSLConnection, **primary)  # type: ignore[no-any-return]
