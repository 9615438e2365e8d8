"""GET /v1/packages/{name}: a package with its owners and versions."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from api.write.endpoint import Endpoints
from api.write.json_body import json_response
from api.write.packages import PackageDetail, package_detail
from api.write.services import services_of
from shared.errors import InvalidName, NotFound
from shared.names import parse_name
from shared.timestamps import render_timestamp

route = Endpoints()


class PackageVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a package, yanked ones included."""

    version: str
    cksum: str
    yanked: bool
    published_at: str


class PackageResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A package. versions: newest first by SemVer. facets: of the latest version."""

    ok: bool = True
    name: str
    latest_version: str | None
    is_official: bool
    owners: tuple[str, ...]
    versions: tuple[PackageVersion, ...]
    facets: tuple[str, ...] | UnsetType = UNSET


@route.get("/v1/packages/{name}", response=PackageResponse, errors=(InvalidName, NotFound))
async def package(request: Request) -> Response:
    """A package with its owners and versions."""
    name = parse_name(request.path_params["name"])
    return json_response(_answer(await package_detail(services_of(request), name)))


def _answer(detail: PackageDetail) -> PackageResponse:
    return PackageResponse(
        name=detail.name,
        latest_version=detail.latest_version,
        is_official=detail.is_official,
        owners=detail.owners,
        versions=tuple(
            PackageVersion(
                version=row.version,
                cksum=row.cksum,
                yanked=row.yanked,
                published_at=render_timestamp(row.published_at),
            )
            for row in detail.versions
        ),
        facets=detail.facets or UNSET,
    )
