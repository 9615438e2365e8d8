"""The read service: one small ASGI application over blobs. It knows no database and no token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from api.read.answer import BlobAnswer, answer_of
from api.read.cache import BlobCache
from api.read.fast_answers import FastAnswers
from api.read.freshness import FreshBlobs, Served
from api.read.loading import Loader
from api.read.metrics import CACHE_BYTES, STALE_ANSWERS
from api.read.negotiation import preferred_codings
from api.read.routes import BlobRoute, Page, Redirect, handles, pattern_of, resolve
from api.read.standing import StandingTree
from api.read.streaming import BlobChanged, Streams
from shared.blobs import CONFIG_KEY
from shared.errors import MethodNotAllowed, RegistryError, StorageUnavailable
from shared.http.error_response import error_response
from shared.http.observation import name_route
from shared.http.openapi import openapi_response
from shared.http.readiness import Probe, Probes, readiness_of, ready_response
from shared.http.service import HEALTH_BODY, SERVICE_BODY
from shared.jobs import Change
from shared.settings import Settings
from shared.storage.interface import Missing, Storage

REFRESH: Final = b"x07_refresh"
# How often a big blob may be put again between the decision on its headers and the first byte.
ATTEMPTS_TO_STREAM: Final = 3
# The least that settings can set: below it, no index file would fit.
LEAST_BYTES: Final = 1 << 20
# Bodies that count as small are at most this share of all memory for bodies.
WHOLE_SHARE: Final = 128


class ReadService:
    """ASGI application for GET and HEAD of the published tree."""

    def __init__(self, storage: Storage, settings: Settings) -> None:
        """Memory for bodies is settings.read_cache_bytes: 1/2 to keep, 1/8 to load, 1/4 to stream.

        The rest is left to the allocator, which cannot fill every gap.
        """
        self._index_host = settings.index_host.lower().encode()
        tree, memory_bytes = StandingTree(storage), max(settings.read_cache_bytes, LEAST_BYTES)
        loader = Loader(tree, whole_bytes=memory_bytes // WHOLE_SHARE, in_flight_bytes=memory_bytes // 8)
        self._tree = tree
        self._cache = BlobCache(settings.read_cache_bytes // 2)
        self._cache.on_removed = self._forget
        self.ttl_s = settings.read_ttl_seconds
        self.has_access_log = settings.access_log
        self.blobs = FreshBlobs(loader, self._cache, self.ttl_s)
        self.fast = FastAnswers(settings.cors_origins)
        self._streams = Streams(tree, memory_bytes // 4)

    def apply(self, change: Change) -> None:
        """Blobs were put again."""
        self.blobs.apply(change)
        for key in change.keys:
            self.fast.forget(key)

    def suspect_all(self) -> None:
        """Change messages may have been missed."""
        self.blobs.suspect_all()
        self.fast.clear()

    @property
    def dependencies(self) -> Probes:
        """Ready while storage answers a read: a published tree may well be mounted read-only."""
        return {"storage": Probe(lambda: self._tree.head(CONFIG_KEY))}

    async def collect(self) -> None:
        """Let the gauges say how it is now."""
        CACHE_BYTES.set(self._cache.size_bytes)

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
        route = resolve(scope, self._index_host)
        name_route(scope, pattern_of(route))
        match route:
            case BlobRoute():
                await self._answer_blob(route, scope, receive, send)
            case Redirect():
                await Response(None, route.status, {"location": route.location})(scope, receive, send)
            case Page.SERVICE:
                await Response(SERVICE_BODY, media_type="application/json")(scope, receive, send)
            case Page.HEALTH:
                await PlainTextResponse(HEALTH_BODY)(scope, receive, send)
            case Page.OPENAPI:
                await openapi_response(Request(scope))(scope, receive, send)
            case Page.READY:
                await ready_response(await readiness_of(self.dependencies))(scope, receive, send)

    async def _answer_blob(self, route: BlobRoute, scope: Scope, receive: Receive, send: Send) -> None:
        """From memory, or else piece by piece; again from the start when the blob changes in between."""
        request, is_head = _values(scope), scope["method"] == "HEAD"
        is_refresh = not route.is_archive and _asks_refresh(scope)
        for _ in range(ATTEMPTS_TO_STREAM):
            look = self.blobs.describe if is_head else self.blobs.get
            match await look(route.key, is_refresh=is_refresh):
                case Missing():
                    raise route.missing
                case Served() as served:
                    answer = await self._decide(route, served, request, is_head=is_head)
            try:
                await self._send(answer, receive, send)
            except BlobChanged:
                is_refresh = True
            else:
                return
        raise StorageUnavailable("the blob keeps changing, try again")

    async def _decide(
        self, route: BlobRoute, served: Served, request: Mapping[bytes, Sequence[str]], *, is_head: bool
    ) -> BlobAnswer:
        if served.is_stale:
            STALE_ANSWERS.inc()
        codings = preferred_codings(request.get(b"accept-encoding", ()))
        representation = await self.blobs.chosen(served, codings if route.has_variants else ())
        if not served.is_stale and self.blobs.is_fresh(served.blob):
            self.fast.learn(served.blob, codings, representation)
        return answer_of(route, representation, request, is_head=is_head, is_stale=served.is_stale)

    def _forget(self, key: str) -> None:
        self.fast.forget(key)

    async def _send(self, answer: BlobAnswer, receive: Receive, send: Send) -> None:
        span, body = answer.span, answer.representation.body
        if span is not None and body is None:
            await self._streams.send(answer, receive, send)
            return
        part = (
            b""
            if span is None or body is None
            else body
            if len(body) == span.end - span.start
            else body[span.start : span.end]
        )
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.fields})
        await send({"type": "http.response.body", "body": part})


def _values(scope: Scope) -> Mapping[bytes, Sequence[str]]:
    """The values of each header, in order."""
    values: dict[bytes, list[str]] = {}
    for name, value in scope["headers"]:
        values.setdefault(name, []).append(value.decode("latin-1"))
    return values


def _asks_refresh(scope: Scope) -> bool:
    """True for `?x07_refresh=…`, which clients send to read past every cache."""
    query: bytes = scope["query_string"]
    return REFRESH in query and any(part.partition(b"=")[0] == REFRESH for part in query.split(b"&"))
