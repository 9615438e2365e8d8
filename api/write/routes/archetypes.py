"""GET /v1/archetypes and /v1/archetypes/{name} (contract, 6.7)."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from api.write import archetypes as domain
from api.write.archetypes import Archetype
from api.write.endpoint import Endpoints, QueryParameter
from api.write.json_body import StoredText, json_response
from api.write.queries.archetypes import ArchetypedPackage
from api.write.query_params import LIMIT, OFFSET, query_parameters
from api.write.services import services_of
from shared.errors import BadRequest, InvalidArchetype, NotFound
from shared.manifest_limits import MAX_DESCRIPTION_BYTES
from shared.text import listed, lower_ascii

route = Endpoints()


class ArchetypePackage(msgspec.Struct, frozen=True, kw_only=True):
    """A package of an archetype."""

    name: str
    latest_version: str | None
    is_official: bool
    description: str | UnsetType = UNSET


class ArchetypeGroup(msgspec.Struct, frozen=True, kw_only=True):
    """An archetype and its packages, by name, regardless of the page.

    package_count: of all packages, including those left out because the answer would exceed 512 KiB.
    """

    archetype: str
    package_count: int
    packages: tuple[ArchetypePackage, ...]


class ArchetypesResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A page of archetypes. q: lower-cased. total: of archetypes, before paging."""

    ok: bool = True
    q: str
    limit: int
    offset: int
    total: int
    archetypes: tuple[ArchetypeGroup, ...]


class ArchetypeResponse(msgspec.Struct, frozen=True, kw_only=True):
    """One archetype and its packages, by name. package_count: includes those left out beyond 512 KiB."""

    ok: bool = True
    archetype: str
    package_count: int
    packages: tuple[ArchetypePackage, ...]


@route.get(
    "/v1/archetypes",
    shows_packages=True,
    query=(QueryParameter("q", StoredText, "Text that archetypes or their packages contain."), LIMIT, OFFSET),
    response=ArchetypesResponse,
    errors=(BadRequest,),
)
async def archetypes(request: Request) -> Response:
    """Archetypes that contain `q` in their name or in one of their packages."""
    parameters = query_parameters(request)
    q, page = lower_ascii(parameters.text("q")), parameters.page()
    total, found = await domain.archetypes(services_of(request), q, page)
    return json_response(
        ArchetypesResponse(
            q=q,
            limit=page.limit,
            offset=page.offset,
            total=total,
            archetypes=tuple(map(_group, found)),
        )
    )


@route.get(
    "/v1/archetypes/{name}",
    shows_packages=True,
    response=ArchetypeResponse,
    errors=(InvalidArchetype, NotFound),
)
async def archetype(request: Request) -> Response:
    """One archetype with its packages."""
    group = _group(await domain.archetype(services_of(request), request.path_params["name"]))
    return json_response(
        ArchetypeResponse(
            archetype=group.archetype, package_count=group.package_count, packages=group.packages
        )
    )


def _group(found: Archetype) -> ArchetypeGroup:
    return ArchetypeGroup(
        archetype=found.name,
        package_count=found.package_count,
        packages=tuple(map(_package, found.packages)),
    )


def _package(row: ArchetypedPackage) -> ArchetypePackage:
    return ArchetypePackage(
        name=row.name,
        latest_version=row.latest_version,
        is_official=row.is_official,
        description=UNSET if row.description is None else listed(row.description, MAX_DESCRIPTION_BYTES),
    )
