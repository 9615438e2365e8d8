"""GET /v1/packages/{name}/dependents: the packages that require this one."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.write import dependents as domain
from api.write.endpoint import Endpoints
from api.write.json_body import json_response
from api.write.path_params import path_name
from api.write.private_packages import is_hidden
from api.write.queries.dependents import Dependent
from api.write.query_params import LIMIT, OFFSET, query_parameters
from api.write.services import services_of
from shared.errors import BadRequest, NotFound
from shared.publish_errors import InvalidName

route = Endpoints()


class DependentRequirement(msgspec.Struct, frozen=True, kw_only=True):
    """A requirement of a package's latest version. requirement: a version or a range."""

    package: str
    version: str
    requirement: str


class DependentsResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A page of requirements, sorted by the package that has them. total: before paging."""

    ok: bool = True
    name: str
    limit: int
    offset: int
    total: int
    dependents: tuple[DependentRequirement, ...]


@route.get(
    "/v1/packages/{name}/dependents",
    shows_packages=True,
    query=(LIMIT, OFFSET),
    response=DependentsResponse,
    errors=(BadRequest, InvalidName, NotFound),
)
async def dependents(request: Request) -> Response:
    """Packages whose latest version requires this one (`meta.requires_packages`)."""
    name, page = path_name(request), query_parameters(request).page()
    services, hidden = services_of(request), await is_hidden(request, name)
    total, found = await domain.dependents(services, name, page, is_hidden=hidden)
    return json_response(
        DependentsResponse(
            name=name,
            limit=page.limit,
            offset=page.offset,
            total=total,
            dependents=tuple(map(dependent_requirement, found)),
        )
    )


def dependent_requirement(row: Dependent) -> DependentRequirement:
    """The row in the form of the response."""
    return DependentRequirement(package=row.package, version=row.version, requirement=row.requirement)
