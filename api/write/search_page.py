"""The page of a search, rendered from the templates that the worker's pages have."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from api.write.endpoint import Endpoint
from api.write.queries.search import FoundPage
from api.write.query_params import Page, query_parameters
from api.write.services import Services, services_of
from shared.blobs import HTML_TYPE
from shared.errors import Unavailable
from shared.http.page_headers import PAGE_FIELDS
from shared.pages.rendering import render_page
from shared.pages.site import Site, site_of

PER_PAGE: Final = 50
MAX_CHARS: Final = 200
RETRY_AFTER_S: Final = "5"


async def search_page(request: Request) -> Response:
    """The packages whose name contains `q`. While the database is away, the page says so, with 503."""
    services, parameters = services_of(request), query_parameters(request)
    q, page = parameters.text("q")[:MAX_CHARS], Page(PER_PAGE, parameters.page().offset)
    found = await _found(services, q, page)
    response = Response(_rendered(site_of(services.settings), q, page, found), media_type=HTML_TYPE)
    response.raw_headers += PAGE_FIELDS
    response.headers["cache-control"] = "no-store"
    if found is None:
        response.status_code, response.headers["retry-after"] = 503, RETRY_AFTER_S
    return response


async def _found(services: Services, q: str, page: Page) -> FoundPage | None:
    """What was found; None while the database is away, which the log tells why."""
    try:
        return await services.searches.find(q, page, scale_tested=False)
    except Unavailable:
        return None


def _rendered(site: Site, q: str, page: Page, found: FoundPage | None) -> bytes:
    total = 0 if found is None else found.total
    return render_page(
        "search.html",
        site,
        q=q,
        found=found,
        previous=max(0, page.offset - PER_PAGE) if page.offset else None,
        next=page.end if page.end < total else None,
    )


SEARCH_PAGE: Final = Endpoint(method="GET", path="/search", handler=search_page, shows_packages=True)
"""The route of the page, which no OpenAPI document has."""
