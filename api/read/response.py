"""Blobs as answers: 200, 206, 304 with the headers of the contract (1.7; RFC 9110, 13 to 15)."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from api.read.freshness import Served
from api.read.routes import BlobRoute
from shared.http.conditional import ByteRange, is_not_modified, requested_range
from shared.storage.interface import BlobInfo, Missing, Storage

STALE_HEADER: Final = "x-x07-stale"


def blob_response(route: BlobRoute, served: Served | Missing, scope: Scope) -> Response:
    """The answer with a blob at hand. Raises the route's error when it is missing."""
    if isinstance(served, Missing):
        raise route.missing
    request = Headers(scope=scope)
    headers = _validators(route, served.etag)
    if served.is_stale:
        headers[STALE_HEADER] = "true"
    if is_not_modified(request.getlist("if-none-match"), served.etag):
        return Response(None, 304, headers)
    body = served.found.body
    span = _span(route, request, served.etag, len(body))
    return _answer(route, headers, span, body if span is None else body[span.start : span.end])


async def stream_archive(
    storage: Storage, route: BlobRoute, info: BlobInfo, scope: Scope, receive: Receive, send: Send
) -> None:
    """Answer with an archive too big to keep, piece by piece as the reader takes it.

    Raises the route's error when it is gone, StorageUnavailable when storage fails before the answer
    began; a failure after that ends the connection, so that no half archive looks whole.
    """
    request = Headers(scope=scope)
    etag = f'"{info.digest}"'
    headers = _validators(route, etag)
    if is_not_modified(request.getlist("if-none-match"), etag):
        await Response(None, 304, headers)(scope, receive, send)
        return
    span = _span(route, request, etag, info.size_bytes)
    whole = span or ByteRange(0, info.size_bytes, info.size_bytes)
    if scope["method"] == "HEAD":
        await _answer(route, _with_length(headers, whole), span, b"")(scope, receive, send)
        return
    async with storage.open(route.key, start=whole.start, end=whole.end) as opened:
        if isinstance(opened, Missing):
            raise route.missing
        status = 200 if span is None else 206
        streamed = StreamingResponse(opened.chunks, status, _with_length(headers, whole), route.content_type)
        if span is not None:
            streamed.headers["content-range"] = span.content_range
        await streamed(scope, receive, send)


def _validators(route: BlobRoute, etag: str) -> dict[str, str]:
    """Headers of a 200 that a 304 carries too (RFC 9110, 15.4.5), and what archives say besides."""
    headers = {"etag": etag, "cache-control": route.cache_control}
    if route.is_archive:
        headers |= {"accept-ranges": "bytes", "x-content-type-options": "nosniff"}
    return headers


def _span(route: BlobRoute, request: Headers, etag: str, size_bytes: int) -> ByteRange | None:
    """The range to answer with; ranges are for archives. Raises RangeNotSatisfiable."""
    if not route.is_archive:
        return None
    return requested_range(request.get("range"), request.get("if-range"), etag, size_bytes)


def _answer(route: BlobRoute, headers: dict[str, str], span: ByteRange | None, body: bytes) -> Response:
    headers = {**headers, "content-type": route.content_type}
    if span is None:
        return Response(body, 200, headers)
    return Response(body, 206, {**headers, "content-range": span.content_range})


def _with_length(headers: dict[str, str], span: ByteRange) -> dict[str, str]:
    return {**headers, "content-length": str(span.end - span.start)}
