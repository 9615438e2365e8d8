"""The service itself: what it is, whether it lives, whether it is ready."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable

import msgspec
from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from api.write.endpoint import Endpoints
from api.write.json_body import json_response
from api.write.services import services_of
from shared.errors import RegistryError
from shared.http.service import HEALTH_BODY, SERVICE_BODY

CHECK_TIMEOUT_S = 3.0

route = Endpoints()


class Dependency(msgspec.Struct, frozen=True, kw_only=True):
    """What one dependency answered. latency_ms: until it did, or until it was given up."""

    ok: bool
    latency_ms: float


class ReadyResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the write API can take a publish. Redis may be away: the sweep makes up for it."""

    ok: bool
    dependencies: dict[str, Dependency]


@route.get("/")
async def service(request: Request) -> Response:
    """Where the registry's parts are."""
    return Response(SERVICE_BODY, media_type="application/json")


@route.get("/healthz")
async def health(request: Request) -> Response:
    """Alive: no dependency is asked."""
    return PlainTextResponse(HEALTH_BODY)


@route.get("/readyz", response=ReadyResponse)
async def ready(request: Request) -> Response:
    """Ready to publish: database and storage answer. 503 when one does not."""
    services = services_of(request)
    database, storage, redis = await asyncio.gather(
        _measure(services.database.check()),
        _measure(services.storage.check()),
        _measure(services.notifier.check()),
    )
    is_ready = database.ok and storage.ok
    body = ReadyResponse(ok=is_ready, dependencies={"database": database, "storage": storage, "redis": redis})
    return json_response(body, status=200 if is_ready else 503)


async def _measure(check: Awaitable[None]) -> Dependency:
    """Whether a dependency answers in time, and how long it took."""
    begun = time.perf_counter()
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await check
        is_up = True
    except (RegistryError, RedisError, OSError, TimeoutError):
        is_up = False
    return Dependency(ok=is_up, latency_ms=round((time.perf_counter() - begun) * 1000, 3))
