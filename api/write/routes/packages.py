"""GET /v1/packages/{name}: a package with its owners and versions."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from api.write.endpoint import Endpoints
from api.write.path_params import path_name
from api.write.stored_document import stored_document
from shared.blobs import package_key
from shared.errors import NotFound, StorageFailed
from shared.package_documents import PackagePage
from shared.publish_errors import InvalidName

route = Endpoints()


@route.get(
    "/v1/packages/{name}",
    shows_packages=True,
    response=PackagePage,
    is_cached=True,
    errors=(InvalidName, NotFound, StorageFailed),
)
async def package(request: Request) -> Response:
    """A package with its owners and versions."""
    name = path_name(request)
    return await stored_document(request, package_key(name))
