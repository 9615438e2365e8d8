"""Decodes request targets strictly, and refuses those that do not decode (RFC 3986, 2.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Receive, Scope, Send

from shared.errors import BadRequest
from shared.http.error_response import error_response

_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def decode_path(raw_path: bytes) -> str:
    """The text of a path. Raises BadRequest for a broken escape and for bytes that are not UTF-8."""
    if _BAD_ESCAPE.search(raw_path):
        raise BadRequest("bad percent-encoding in path")
    try:
        return unquote_to_bytes(raw_path).decode()
    except UnicodeDecodeError:
        raise BadRequest("path is not UTF-8") from None


def require_decodable_query(query: bytes) -> None:
    """Raises BadRequest for a query that is not UTF-8.

    A broken escape is allowed, because form decoding takes it literally: `?q=100%` is a search.
    """
    try:
        unquote_to_bytes(query).decode()
    except UnicodeDecodeError:
        raise BadRequest("query is not UTF-8") from None


class PathMiddleware:
    """Refuses requests whose path or query does not decode, and routes all others by their raw path.

    The read tier routes by the raw path too: an encoded slash is part of a parameter and does not end it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 400, or pass the request on."""
        if scope["type"] == "http":
            raw_path: bytes = scope["raw_path"]
            try:
                decode_path(raw_path)
                require_decodable_query(scope["query_string"])
            except BadRequest as error:
                await error_response(error, scope)(scope, receive, send)
                return
            scope = {**scope, "path": raw_path.decode("latin-1")}
        await self._app(scope, receive, send)


def decoded_parameters(path_params: Mapping[str, str]) -> dict[str, str]:
    """The parameters of a route that was matched as sent. Raises BadRequest."""
    return {name: decode_path(value.encode("latin-1")) for name, value in path_params.items()}
