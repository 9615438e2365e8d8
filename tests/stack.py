"""A whole registry for one test: the real applications and worker over real servers.

HTTP goes through a real uvicorn on a port of its own; only the process is shared with the test.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn
from sqlalchemy import func, insert, text, update
from starlette.types import ASGIApp

from api.read.fast_path import FastProtocol
from api.write.credentials import secret_hash
from deploy.asgi import build_combined_app
from deploy.listener import address_of, is_unix
from deploy.serve import KEEP_ALIVE_S
from shared.blobs import CONFIG_KEY
from shared.database import Database
from shared.http.authorities import trusted_authorities
from shared.http.guarded_protocol import GuardedProtocol
from shared.settings import Settings
from shared.storage.interface import Storage
from shared.storage.opening import open_storage
from shared.tables import tokens, users
from worker.process import run as run_worker

DEADLINE_S = 60.0
ALL_SCOPES = ("publish", "token.manage", "owner.manage", "admin")


async def eventually(condition: Callable[[], Any], deadline_s: float = DEADLINE_S) -> Any:
    """Wait for the first true value of an async condition; fails the test after the deadline."""
    async with asyncio.timeout(deadline_s):
        while not (value := await condition()):
            await asyncio.sleep(0.02)
        return value


@asynccontextmanager
async def serving(
    app: ASGIApp,
    protocol: type[asyncio.Protocol] = GuardedProtocol,
    listener: socket.socket | None = None,
) -> AsyncIterator[str]:
    """Serve an ASGI application on a free port, or on a listener that is closed at the end.

    Yields the base URL. protocol: as in deploy/serve.py.
    """
    with listener or socket.create_server(("127.0.0.1", 0)) as listener:
        # uvloop, which servers run, does this for each connection; asyncio leaves it out for such a listener,
        # and the end of each answer would wait 40 ms for the client's acknowledgement of its head.
        if not is_unix(listener):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        config = uvicorn.Config(
            app,
            http=protocol,
            lifespan="on",
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
        )
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await eventually(lambda: _started(server, task))
            yield f"http://{address_of(listener)}"
        finally:
            server.should_exit = True
            await task


async def _started(server: uvicorn.Server, task: asyncio.Task[None]) -> bool:
    if task.done():
        raise RuntimeError("the server ended before it started") from task.exception()
    return server.started


@dataclass
class Registry:
    """A running registry, as tests use it."""

    settings: Settings
    url: str
    http: httpx.AsyncClient
    database: Database
    storage: Storage

    async def add_user(self, handle: str, *, verified: bool = True) -> Any:
        """Insert a user. Returns its id."""
        async with self.database.transaction() as tx:
            row = insert(users).values(handle=handle, github_email_verified=verified).returning(users.c.id)
            return (await tx.execute(row)).scalar_one()

    async def add_token(self, user_id: Any, *scopes: str, secret: str | None = None) -> str:
        """Insert a token, as deployments bootstrap. Returns its plaintext."""
        plain = secret or f"x07t_{user_id}_{'_'.join(scopes)}"
        async with self.database.transaction() as tx:
            row = {"user_id": user_id, "token_hash": secret_hash(plain), "scopes": list(scopes)}
            await tx.execute(insert(tokens).values(row))
        return plain

    async def add_publisher(
        self, handle: str = "alice", *scopes: str, verified: bool = True
    ) -> dict[str, str]:
        """Add a user with a token for these scopes (`publish` by default). Returns the request headers."""
        user_id = await self.add_user(handle, verified=verified)
        return bearer(await self.add_token(user_id, *(scopes or ("publish",))))

    async def publish(self, archive: bytes, headers: dict[str, str]) -> httpx.Response:
        """Post an archive."""
        return await self.http.post("/v1/packages/publish", content=archive, headers=headers)

    async def rows(self, sql: str, **values: Any) -> list[Any]:
        """The rows of a test's query."""
        async with self.database.transaction() as tx:
            return list(await tx.execute(text(sql), values))

    async def store_manifest(self, name: str, manifest: Any) -> None:
        """Give a package's versions a manifest that the older server or foreign SQL may have stored.

        Waits until a worker has published it.
        """
        await self.rows(
            """
            WITH changed AS (
                UPDATE package_versions v SET manifest = CAST(:manifest AS jsonb) FROM packages p
                WHERE p.id = v.package_id AND p.name = :name RETURNING p.id
            ), documents AS (
                UPDATE version_state SET metadata_digest = NULL WHERE package_id IN (SELECT id FROM changed)
            )
            UPDATE index_state SET generation = generation + 1
            WHERE package_id IN (SELECT id FROM changed) RETURNING 1
            """,
            name=name,
            manifest=json.dumps(manifest),
        )
        await self.until_row(
            "SELECT 1 FROM index_state s JOIN packages p ON p.id = s.package_id "
            "WHERE p.name = :name AND generation = published_generation",
            name=name,
        )

    async def revoke(self, token: str) -> None:
        """Revoke a token."""
        async with self.database.transaction() as tx:
            await tx.execute(
                update(tokens).where(tokens.c.token_hash == secret_hash(token)).values(revoked_at=func.now())
            )

    async def until_row(self, sql: str, **values: Any) -> Any:
        """Wait until a query has a row, and return it."""
        return (await eventually(lambda: self.rows(sql, **values)))[0]

    async def until_configured(self) -> None:
        """Wait until the worker has written config.json, which it does in its first sweep."""
        await eventually(lambda: self.storage.head(CONFIG_KEY))

    async def until_keys(self, expected: list[str]) -> None:
        """Wait until storage holds exactly these keys."""
        found: list[str] = []

        async def is_so() -> bool:
            found[:] = await self.keys()
            return found == expected

        try:
            await eventually(is_so)
        except TimeoutError:
            assert found == expected

    async def until_in_catalog(self, name: str, latest: str | None) -> dict[str, Any]:
        """Wait until the catalog lists a package with this latest version. Returns its catalog object."""

        async def listed() -> dict[str, Any] | None:
            catalog = (await self.http.get("/index/catalog.json?x07_refresh=1")).json()
            found = [package for package in catalog.get("packages", ()) if package["name"] == name]
            return found[0] if found and found[0].get("latest") == latest else None

        package: dict[str, Any] = await eventually(listed)
        return package

    async def keys(self, prefix: str = "") -> list[str]:
        """Every key in storage, without those that mark removed files."""
        return [info.key async for info in self.storage.list(prefix) if not info.is_removed]


def bearer(token: str) -> dict[str, str]:
    """Request headers with a token."""
    return {"authorization": f"Bearer {token}"}


@asynccontextmanager
async def running_registry(
    settings: Settings,
    *,
    build_app: Callable[[Settings], ASGIApp] = build_combined_app,
    with_worker: bool = True,
    listener: socket.socket | None = None,
) -> AsyncIterator[Registry]:
    """Applications and worker over these settings, which name a migrated database."""
    database, storage = Database(settings), await open_storage(settings)
    worker = asyncio.create_task(run_worker(settings)) if with_worker else None
    try:
        async with (
            serving(build_app(settings), FastProtocol, listener) as url,
            httpx.AsyncClient(base_url=url, timeout=60, verify=trusted_authorities()) as http,
        ):
            yield Registry(settings, url, http, database, storage)
    finally:
        if worker is not None:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)
        await storage.close()
        await database.close()
