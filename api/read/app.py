"""The read service: one small ASGI application over blobs. It knows no database and no token."""

from __future__ import annotations

import time
from typing import Final

import msgspec
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from api.read.cache import BlobCache
from api.read.freshness import FreshBlobs, Served
from api.read.response import blob_response, stream_archive
from api.read.routes import BlobRoute, Page, Redirect, handles, resolve
from shared.errors import MethodNotAllowed, RegistryError
from shared.http.error_response import error_response
from shared.http.service import HEALTH_BODY, SERVICE_BODY
from shared.jobs import Change
from shared.settings import Settings
from shared.storage.interface import Missing, Storage

REFRESH: Final = b"x07_refresh"


class ReadService:
    """ASGI application for GET and HEAD of the published tree."""

    def __init__(self, storage: Storage, settings: Settings) -> None:
        self._storage = storage
        self._index_host = settings.index_host
        self._blobs = FreshBlobs(storage, BlobCache(settings.read_cache_bytes), settings.read_ttl_seconds)
        # Bigger archives are streamed: one of them must not push everything else out.
        self._max_cached_bytes = min(settings.read_cache_bytes // 16, 1 << 20)

    def apply(self, change: Change) -> None:
        """Blobs were put again."""
        self._blobs.apply(change)

    def suspect_all(self) -> None:
        """Change messages may have been missed."""
        self._blobs.suspect_all()

    def handles(self, scope: Scope) -> bool:
        """True if the request is the read tier's when both tiers share one address."""
        return handles(scope, self._index_host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; every error is JSON."""
        try:
            if scope["method"] not in ("GET", "HEAD"):
                raise MethodNotAllowed(headers={"allow": "GET,HEAD"})
            await self._answer(scope, receive, send)
        except RegistryError as error:
            await error_response(error, scope)(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        match resolve(scope, self._index_host):
            case BlobRoute() as route if route.is_archive:
                await self._answer_archive(route, scope, receive, send)
            case BlobRoute() as route:
                served = await self._blobs.get(route.key, is_refresh=_asks_refresh(scope))
                await blob_response(route, served, scope)(scope, receive, send)
            case Redirect() as redirect:
                await Response(None, redirect.status, {"location": redirect.location})(scope, receive, send)
            case page:
                await (await self._page(page))(scope, receive, send)

    async def _page(self, page: Page) -> Response:
        if page is Page.SERVICE:
            return Response(SERVICE_BODY, media_type="application/json")
        if page is Page.HEALTH:
            return PlainTextResponse(HEALTH_BODY)
        begun = time.perf_counter()
        try:
            await self._storage.check()
            is_up = True
        except RegistryError:
            is_up = False
        latency_ms = round((time.perf_counter() - begun) * 1000, 3)
        body = {"ok": is_up, "dependencies": {"storage": {"ok": is_up, "latency_ms": latency_ms}}}
        return Response(msgspec.json.encode(body), 200 if is_up else 503, media_type="application/json")

    async def _answer_archive(self, route: BlobRoute, scope: Scope, receive: Receive, send: Send) -> None:
        """From the cache if it may be kept there, else streamed from storage."""
        served: Served | Missing | None = self._blobs.peek(route.key)
        if served is None:
            info = await self._storage.head(route.key)
            if info is None:
                raise route.missing
            if info.size_bytes > self._max_cached_bytes:
                await stream_archive(self._storage, route, info, scope, receive, send)
                return
            served = await self._blobs.get(route.key)
        await blob_response(route, served, scope)(scope, receive, send)


def _asks_refresh(scope: Scope) -> bool:
    """True for `?x07_refresh=…`, which clients send to read past every cache."""
    query: bytes = scope["query_string"]
    return REFRESH in query and any(part.partition(b"=")[0] == REFRESH for part in query.split(b"&"))
