"""Answers with a document of the published tree, when a client asks the write tier for it.

The read tier answers these routes wherever both share an address (api/read/routes.py). Bytes, ETag and
caching rule are the same here.
"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from api.write.services import services_of
from shared.blobs import JSON_TYPE
from shared.errors import NotFound
from shared.http.conditional import is_not_modified
from shared.storage.interface import Found
from shared.storage.views import Views

ASK_EACH_TIME: Final = "no-cache"


async def stored_document(request: Request, key: str, missing: NotFound) -> Response:
    """The document, or 304 for a client that has it. Raises `missing`, StorageUnavailable, StorageFailed."""
    found = await Views(services_of(request).storage).get(key)
    if not isinstance(found, Found):
        raise missing
    etag = f'"{found.digest}"'
    headers = {"etag": etag, "cache-control": ASK_EACH_TIME}
    if is_not_modified(request.headers.getlist("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    return Response(found.body, headers=headers, media_type=JSON_TYPE)
