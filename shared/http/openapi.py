"""Serves the OpenAPI document on both tiers, as the bytes of its file (contract, 1.7 and 2.1)."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from shared.blobs import JSON_TYPE
from shared.http.conditional import is_not_modified

MAX_AGE: Final = "public, max-age=3600"
# How the file names the server: the one that the document came from.
SERVER: Final = b'"url": "/"'


@cache
def openapi_document(base_path: str) -> tuple[bytes, str]:
    """The document and its ETag, quoted. Read once, because it changes only with the program.

    base_path: the path of the public base, below which the document's server is; may be empty.
    """
    server = b'"url": ' + msgspec.json.encode(f"{base_path}/")
    body = (files("openapi") / "openapi.json").read_bytes().replace(SERVER, server, 1)
    return body, f'"{hashlib.sha256(body).hexdigest()}"'


def openapi_response(request: Request, base_path: str) -> Response:
    """The document, or 304 for a client that has it."""
    body, etag = openapi_document(base_path)
    headers = {"etag": etag, "cache-control": MAX_AGE}
    if is_not_modified(request.headers.getlist("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=JSON_TYPE)
