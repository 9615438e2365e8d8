"""GET /v1/search: packages by name (contract, 6.6)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Generic, TypeVar

import msgspec
from msgspec import UNSET, UnsetType, structs
from starlette.requests import Request
from starlette.responses import Response

from api.write.endpoint import Endpoints, QueryParameter
from api.write.json_body import StoredText, json_response
from api.write.queries.search import Hit
from api.write.query_params import LIMIT, OFFSET, query_parameters
from api.write.services import services_of
from shared.errors import BadRequest
from shared.manifest_limits import MAX_DESCRIPTION_BYTES
from shared.text import listed

# Twice the size of a hundred descriptions at their limit. The names of a page are not counted.
MAX_DETAILED_BYTES: Final = 512 * 1024

P = TypeVar("P")

route = Endpoints()


class SearchPackage(msgspec.Struct, frozen=True, kw_only=True):
    """A package that was found. description, modules_count, facets: of its latest version."""

    name: str
    latest_version: str | None
    is_official: bool
    description: str | UnsetType = UNSET
    modules_count: int
    facets: tuple[str, ...] | UnsetType = UNSET


class _Found(msgspec.Struct, Generic[P], frozen=True, kw_only=True):
    """A page of the packages found. q, limit, offset: as the server understood them. total: before paging."""

    ok: bool = True
    q: str
    limit: int
    offset: int
    total: int
    packages: tuple[P, ...]


class SearchResponse(_Found[SearchPackage], frozen=True, kw_only=True):
    """A page of the packages found. q, limit, offset: as the server understood them. total: before paging."""


@route.get(
    "/v1/search",
    shows_packages=True,
    query=(
        QueryParameter("q", StoredText, "Text that names contain, in any case; every package when absent."),
        LIMIT,
        OFFSET,
        QueryParameter("scale_tested", bool, "true: only packages whose latest version is scale-tested."),
    ),
    response=SearchResponse,
    errors=(BadRequest,),
)
async def search(request: Request) -> Response:
    """Packages whose name contains `q`: first that name, then names that begin with it, then the others."""
    parameters = query_parameters(request)
    q, page, scale_tested = parameters.text("q"), parameters.page(), parameters.flag("scale_tested")
    found = await services_of(request).searches.find(q, page, scale_tested=scale_tested)
    return json_response(
        _Found[msgspec.Raw](
            q=q,
            limit=page.limit,
            offset=page.offset,
            total=found.total,
            packages=tuple(_packages(found.hits)),
        )
    )


def _packages(hits: Iterable[Hit]) -> Iterator[msgspec.Raw]:
    """The packages of a page. Beyond MAX_DETAILED_BYTES of JSON they have no description and facets."""
    left = MAX_DETAILED_BYTES
    for hit in hits:
        rendered = msgspec.json.encode(_package(hit))
        left -= len(rendered) if left > 0 else 0
        if left <= 0:
            rendered = msgspec.json.encode(structs.replace(_package(hit), description=UNSET, facets=UNSET))
        yield msgspec.Raw(rendered)


def _package(hit: Hit) -> SearchPackage:
    return SearchPackage(
        name=hit.name,
        latest_version=hit.latest_version,
        is_official=hit.is_official,
        description=UNSET if hit.description is None else listed(hit.description, MAX_DESCRIPTION_BYTES),
        modules_count=hit.modules_count,
        facets=tuple(hit.facets) or UNSET,
    )
