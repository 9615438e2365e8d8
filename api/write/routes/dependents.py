"""GET /v1/packages/{name}/dependents: the packages that require this one."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.write import dependents as domain
from api.write.endpoint import Endpoints
from api.write.json_body import json_response
from api.write.paging import LIMIT, OFFSET, query_parameters
from api.write.path_params import path_name
from api.write.queries.dependents import Dependent
from api.write.services import services_of
from shared.errors import BadRequest, InvalidName, NotFound

route = Endpoints()


class DependentRequirement(msgspec.Struct, frozen=True, kw_only=True):
    """What a package's latest version requires of another. requirement: a version or a range."""

    package: str
    version: str
    requirement: str


class DependentsResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A page of requirements, by the package that has them. total: before paging."""

    ok: bool = True
    name: str
    limit: int
    offset: int
    total: int
    dependents: tuple[DependentRequirement, ...]


@route.get(
    "/v1/packages/{name}/dependents",
    query=(LIMIT, OFFSET),
    response=DependentsResponse,
    errors=(BadRequest, InvalidName, NotFound),
)
async def dependents(request: Request) -> Response:
    """Packages whose latest version requires this one (`meta.requires_packages`)."""
    name, page = path_name(request), query_parameters(request).page()
    total, found = await domain.dependents(services_of(request), name, page)
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
    """The row as answers have it."""
    return DependentRequirement(package=row.package, version=row.version, requirement=row.requirement)
