"""The read service: one small ASGI application over blobs. It uses no database.

It reads tokens only in a private registry (access.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from msgspec import structs
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from api.read.access import Access, access_of
from api.read.answer import BlobAnswer, answer_of, private_fields
from api.read.cache import BlobCache
from api.read.edge import CONFIRMED, EdgeTimes, EdgeTurns, edge_wish
from api.read.fast_answers import FastAnswers
from api.read.freshness import LOAD, FreshBlobs, Load, Served
from api.read.loading import Loader
from api.read.metrics import CACHE_BYTES, STALE_ANSWERS
from api.read.negotiation import preferred_codings, prefers_html
from api.read.routes import (
    HOME_ROUTE,
    VARY_ON_ACCEPT,
    BlobRoute,
    FixedPage,
    Redirect,
    handles,
    is_below_packages,
    pattern_of,
    resolve,
)
from api.read.streaming import BlobChanged, Streams
from api.read.surrogate import surrogate_fields_of
from api.read.tree_guard import TreeGuard
from shared.access import ACCESS_KEY
from shared.blobs import CONFIG_KEY, CORRUPT_METADATA_DIGEST
from shared.errors import MetadataCorrupt, MethodNotAllowed, NotFound, RegistryError, StorageUnavailable
from shared.http.error_response import error_response
from shared.http.observation import name_route
from shared.http.openapi import openapi_response
from shared.http.readiness import Probe, Probes, readiness_of, ready_response
from shared.http.service import HEALTH_BODY, service_body
from shared.messages import Change
from shared.missing_blob import missing_blob
from shared.page_paths import PAGES_PREFIX
from shared.settings import Settings
from shared.storage.interface import Missing, Storage
from shared.storage.views import Views, views_of

REFRESH: Final = b"x07_refresh"
# A blob may be put again after its headers were decided and before its first byte is sent; retries for that.
ATTEMPTS_TO_SEND: Final = 5
# The minimum that settings allow: less would not hold a single index file.
MIN_CACHE_BYTES: Final = 1 << 20
# A body counts as small up to this share (1/n) of all memory for bodies.
WHOLE_SHARE: Final = 128


class ReadService:
    """ASGI application for GET and HEAD of the published tree."""

    def __init__(self, storage: Storage, settings: Settings) -> None:
        """Memory for bodies is settings.cache_bytes: 1/2 to keep, 1/8 to load, 1/4 to stream.

        The rest is left to the allocator, which cannot fill every gap.
        """
        self._base_path = settings.base_path
        self._index_host = settings.index_host.lower().encode()
        self._has_pages = settings.has_pages
        tree, memory_bytes = Views(TreeGuard(storage)), max(settings.cache_bytes, MIN_CACHE_BYTES)
        loader = Loader(tree, whole_bytes=memory_bytes // WHOLE_SHARE, in_flight_bytes=memory_bytes // 8)
        self._tree = tree
        self._cache = BlobCache(settings.cache_bytes // 2)
        self.ttl_s = settings.read_ttl_seconds
        self.has_access_log = settings.access_log
        self.blobs = FreshBlobs(loader, self._cache, self.ttl_s)
        self.access: Access = access_of(storage, settings)
        self._surrogate_fields = surrogate_fields_of(settings)
        self.fast = FastAnswers(
            settings.cors_origins,
            is_private=self.access.needs_token,
            surrogate_fields=self._surrogate_fields,
        )
        self._cache.on_removed = self.fast.forget
        self._edge_times, self._edge_turns = EdgeTimes.of(settings), EdgeTurns()
        self._streams = Streams(tree, memory_bytes // 4)

    def apply(self, change: Change) -> None:
        """Note that a worker has put the blobs of this change again."""
        seen = structs.replace(change, keys=(*change.keys, *views_of(change.keys)))
        self.blobs.apply(seen)
        if ACCESS_KEY in change.keys:
            self.access.suspect()
        for key in seen.keys:
            self.fast.forget(key)

    def suspect_all(self) -> None:
        """Note that change messages may have been missed."""
        self.blobs.suspect_all()
        self.access.suspect()
        self.fast.clear()

    @property
    def dependencies(self) -> Probes:
        """The service is ready while storage answers a read; the tree may be mounted read-only."""
        return {"storage": Probe(lambda: self._tree.head(CONFIG_KEY))}

    async def collect(self) -> None:
        """Update the gauges."""
        CACHE_BYTES.set(self._cache.size_bytes)

    def handles(self, scope: Scope) -> bool:
        """True if the request belongs to the read tier, when both tiers share one address.

        In a private registry, the write tier also takes sessions for the pages that both tiers know.
        """
        has_token = any(name == b"authorization" for name, _ in scope["headers"])
        is_sessions = self.access.needs_token and not has_token and is_below_packages(scope["raw_path"])
        return not is_sessions and handles(scope, self._index_host, has_pages=self._has_pages)

    def is_for_fast_path(self, key: str) -> bool:
        """True unless the file is private in a public registry. The fast path judges no tokens there."""
        return self.access.needs_token or not self.access.is_private(key)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; every error is JSON."""
        try:
            if scope["method"] not in ("GET", "HEAD"):
                raise MethodNotAllowed(headers={"allow": "GET,HEAD"})
            await self._answer(scope, receive, send)
        except RegistryError as error:
            if self.access.needs_token:
                error.headers |= {"cache-control": "no-store", "vary": "authorization"}
            await error_response(error, scope)(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = resolve(scope, self._index_host, has_pages=self._has_pages)
        name_route(scope, pattern_of(route))
        match route:
            case BlobRoute():
                key = await self.access.key_for(route.key, _values(scope))
                await self._answer_blob(route, key, scope, receive, send)
            case Redirect():
                await Response(None, route.status, {"location": self._base_path + route.location})(
                    scope, receive, send
                )
            case FixedPage.SERVICE:
                await self._answer_service(scope, receive, send)
            case FixedPage.HEALTH:
                await PlainTextResponse(HEALTH_BODY)(scope, receive, send)
            case FixedPage.OPENAPI:
                await openapi_response(Request(scope), self._base_path)(scope, receive, send)
            case FixedPage.READY:
                await ready_response(await readiness_of(self.dependencies))(scope, receive, send)

    async def _answer_service(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The home page for who prefers HTML, if there is one; the JSON of the service for everybody else."""
        if self._has_pages and prefers_html(_values(scope).get(b"accept", ())):
            key = await self.access.key_for(HOME_ROUTE.key, _values(scope))
            with suppress(NotFound):  # no worker has written it yet
                await self._answer_blob(HOME_ROUTE, key, scope, receive, send)
                return
        response = Response(service_body(self._base_path), media_type="application/json")
        if self._has_pages:
            response.raw_headers.append(VARY_ON_ACCEPT)
        await response(scope, receive, send)

    async def _answer_blob(
        self, route: BlobRoute, key: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer from memory or by streaming; start again if the blob changes before the first byte.

        key: of the route, or one that no file has.
        """
        request, is_head = _values(scope), scope["method"] == "HEAD"
        is_confirmed = edge_wish(request) == CONFIRMED
        is_refresh = not route.is_archive and (is_confirmed or _asks_refresh(scope))
        begun: Load | None = scope["state"].pop(LOAD, None)
        for _ in range(ATTEMPTS_TO_SEND):
            match await self._look(key, begun, is_head=is_head, is_refresh=is_refresh):
                case Missing() as missing:
                    raise missing_blob(route.key, is_removed=self._is_told_removed(route, missing))
                case Served() as served:
                    answer = await self._decide(route, served, request, is_head=is_head)
            if is_confirmed and not await self._is_next_for_edge(route, served, answer):
                continue
            try:
                await self._send(answer, receive, send)
            except BlobChanged:
                is_refresh, begun = True, None
            else:
                return
        raise StorageUnavailable("the blob keeps changing, try again")

    async def _look(
        self, key: str, begun: Load | None, *, is_head: bool, is_refresh: bool
    ) -> Served | Missing:
        """The blob. begun: the load that the fast path began for this request."""
        if begun is not None and begun.key == key:
            return await self.blobs.outcome(begun)
        look = self.blobs.describe if is_head else self.blobs.get
        return await look(key, is_refresh=is_refresh)

    def _is_told_removed(self, route: BlobRoute, missing: Missing) -> bool:
        """True if a removed version had the file. The pages of a private package are removed, too."""
        is_page = route.key.startswith(PAGES_PREFIX)
        return missing.is_removed and not (is_page and self.access.is_private(route.key))

    async def _is_next_for_edge(self, route: BlobRoute, served: Served, answer: BlobAnswer) -> bool:
        """True if the answer may be sent right now. False if a newer body was loaded during the wait."""
        etag = answer.representation.etag
        await self._edge_turns.wait(route.key, etag)
        if self.blobs.is_overtaken(served.blob):
            return False
        self._edge_turns.was_sent(route.key, etag)
        return True

    async def _decide(
        self, route: BlobRoute, served: Served, request: Mapping[bytes, Sequence[str]], *, is_head: bool
    ) -> BlobAnswer:
        if served.blob.identity.info.digest == CORRUPT_METADATA_DIGEST:
            raise MetadataCorrupt
        wish = edge_wish(request)
        self._edge_times.require_good(wish, route, served)
        if served.is_stale:
            STALE_ANSWERS.inc()
        codings = preferred_codings(request.get(b"accept-encoding", ()))
        representation = await self.blobs.variants.chosen(served.blob, codings if route.has_variants else ())
        is_for_fast_path = not route.depends_on_accept and self.is_for_fast_path(route.key)
        if is_for_fast_path and not served.is_stale and self.blobs.is_fresh(served.blob):
            self.fast.learn(served.blob, codings, representation)
        answer = answer_of(route, representation, request, is_head=is_head, is_stale=served.is_stale)
        answer = replace(answer, fields=[*answer.fields, *self._surrogate_fields(route.key)])
        if self.access.is_private(route.key):
            return replace(answer, fields=private_fields(answer.fields))
        return self._edge_times.tell(route, answer) if wish == CONFIRMED else answer

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
