"""Answers with a document of the published tree, when a client asks the write tier for it.

The read tier answers these routes wherever both share an address (api/read/routes.py). Bytes, ETag and
caching rule are the same here.
"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from api.write.private_packages import is_hidden
from api.write.services import services_of
from shared.blobs import JSON_TYPE, hidden_key, name_in_key
from shared.http.conditional import is_not_modified
from shared.missing_blob import missing_blob
from shared.names import PackageName
from shared.private_names import is_private
from shared.storage.interface import Found, Missing
from shared.storage.views import Views

SHARED: Final = {"cache-control": "no-cache"}
PRIVATE: Final = {"cache-control": "private, no-cache", "vary": "Authorization"}


async def stored_document(request: Request, key: str) -> Response:
    """The document, or 304 for a client that has it. Raises NotFound, StorageUnavailable, StorageFailed.

    Who may not see a private package gets what there is of a package whose name none can have: nothing.
    """
    services, name = services_of(request), PackageName(name_in_key(key))
    is_shared = not is_private(name, services.settings.private_namespaces)
    shown = key if is_shared or not await is_hidden(request, name) else hidden_key(key)
    found = await Views(services.storage).get(shown)
    if not isinstance(found, Found):
        raise missing_blob(key, is_removed=found == Missing(is_removed=True))
    etag = f'"{found.digest}"'
    headers = {"etag": etag} | (SHARED if is_shared else PRIVATE)
    if is_not_modified(request.headers.getlist("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    return Response(found.body, headers=headers, media_type=JSON_TYPE)
