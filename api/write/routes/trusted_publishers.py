"""Trusted publishers of a package: GET and POST …/trusted-publishers, DELETE …/{id}, PATCH of the package."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from api.write.endpoint import Auth, Endpoints, Scope
from api.write.json_body import decode_body, json_response
from api.write.path_params import path_name, path_uuid
from api.write.principal import Principal
from api.write.queries.trusted_publishers import Publisher
from api.write.routes.account import OkResponse
from api.write.services import services_of
from api.write.trusted_publishing import publishers as domain
from api.write.trusted_publishing.builds import GITHUB
from api.write.trusted_publishing.publishers import Wanted
from api.write.trusted_publishing.wanted import ENVIRONMENT, FOLDERS, SEGMENT, WORKFLOW, parse_wanted
from shared.errors import BadRequest, Conflict, Forbidden, NotFound, UnprocessableBody
from shared.publish_errors import InvalidName, NameReserved
from shared.settings import Settings
from shared.timestamps import render_timestamp

Name = Annotated[str, msgspec.Meta(pattern=rf"^{SEGMENT}\Z")]
Path = Annotated[str, msgspec.Meta(pattern=rf"^{FOLDERS}\Z", max_length=255)]
Workflow = Annotated[str, msgspec.Meta(pattern=rf"^{WORKFLOW}\Z")]
Environment = Annotated[str, msgspec.Meta(pattern=rf"^{ENVIRONMENT}\Z")]

route = Endpoints()


class AddTrustedPublisherRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A build to trust. `github`: owner, repository, and the file name of the workflow.

    `gitlab`: namespace, project, and the path of the workflow file. environment: absent for any. issuer:
    absent for the first one of the kind that GET /v1/trusted-publishing lists.
    """

    kind: Literal["github", "gitlab"]
    owner: Name | UnsetType = UNSET
    repository: Name | UnsetType = UNSET
    namespace: Path | UnsetType = UNSET
    project: Name | UnsetType = UNSET
    workflow: Workflow
    environment: Environment | UnsetType = UNSET
    issuer: Annotated[str, msgspec.Meta(max_length=2048)] | UnsetType = UNSET

    def wanted(self, settings: Settings) -> Wanted:
        """The build in the words of the domain. Raises UnprocessableBody."""
        is_github = self.kind == GITHUB
        parts = (self.owner, self.repository) if is_github else (self.namespace, self.project)
        if UNSET in parts:
            needed = "owner and repository" if is_github else "namespace and project"
            raise UnprocessableBody(f"{self.kind} needs {needed}")
        repository = "/".join(map(str, parts))
        environment, issuer = self.environment or None, self.issuer or None
        return parse_wanted(settings, self.kind, repository, self.workflow, environment, issuer)


class TrustedPublisher(msgspec.Struct, frozen=True, kw_only=True):
    """A build that may publish. added_by: on whose behalf. environment: null for any.

    state: `active`; `pending` until the first version of a new package; `inactive` when added_by no longer
    owns the package, or the first version did not come within 30 days.
    """

    id: str
    kind: str
    issuer: str
    repository: str
    workflow: str
    environment: str | None
    added_by: str
    created_at: str
    state: Literal["active", "pending", "inactive"]


class AddTrustedPublisherResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The publisher that was added."""

    ok: bool = True
    name: str
    trusted_publisher: TrustedPublisher


class TrustedPublishersResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The publishers of a package, oldest first. trusted_publishing_only: tokens of people do not publish."""

    ok: bool = True
    name: str
    trusted_publishing_only: bool
    trusted_publishers: tuple[TrustedPublisher, ...]


class ChangePackageRequest(msgspec.Struct, frozen=True, kw_only=True):
    """trusted_publishing_only: true refuses versions that people publish with tokens."""

    trusted_publishing_only: bool


class ChangePackageResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The present requirement of a package's owners."""

    ok: bool = True
    name: str
    trusted_publishing_only: bool


@route.get(
    "/v1/packages/{name}/trusted-publishers",
    auth=Auth.EITHER,
    scope=Scope.OWNER_MANAGE,
    response=TrustedPublishersResponse,
    errors=(InvalidName, NotFound, Forbidden),
)
async def trusted_publishers(request: Request, caller: Principal) -> Response:
    """The builds that may publish a package; for its owners."""
    name = path_name(request)
    listed = await domain.publishers_of(services_of(request), caller, name)
    return json_response(
        TrustedPublishersResponse(
            name=name,
            trusted_publishing_only=listed.trusted_publishing_only,
            trusted_publishers=tuple(map(_told, listed.publishers)),
        )
    )


@route.post(
    "/v1/packages/{name}/trusted-publishers",
    auth=Auth.EITHER,
    scope=Scope.OWNER_MANAGE,
    request=AddTrustedPublisherRequest,
    response=AddTrustedPublisherResponse,
    errors=(InvalidName, NameReserved, Forbidden, Conflict),
)
async def add_trusted_publisher(request: Request, caller: Principal) -> Response:
    """Let a build publish a package on your behalf, also one that does not exist yet."""
    body = await decode_body(request, AddTrustedPublisherRequest)
    services, name = services_of(request), path_name(request)
    added = await domain.add_publisher(services, caller, name, body.wanted(services.settings))
    return json_response(AddTrustedPublisherResponse(name=name, trusted_publisher=_told(added)))


@route.delete(
    "/v1/packages/{name}/trusted-publishers/{id}",
    auth=Auth.EITHER,
    scope=Scope.OWNER_MANAGE,
    response=OkResponse,
    errors=(BadRequest, InvalidName, NotFound, Forbidden),
)
async def remove_trusted_publisher(request: Request, caller: Principal) -> Response:
    """Trust a build no longer; tokens that it holds are revoked."""
    name, publisher_id = path_name(request), path_uuid(request, "id")
    await domain.remove_publisher(services_of(request), caller, name, publisher_id)
    return json_response(OkResponse())


@route.patch(
    "/v1/packages/{name}",
    auth=Auth.EITHER,
    scope=Scope.OWNER_MANAGE,
    request=ChangePackageRequest,
    response=ChangePackageResponse,
    errors=(InvalidName, NotFound, Forbidden),
)
async def change_package(request: Request, caller: Principal) -> Response:
    """Let only trusted publishers publish a package, or people with tokens again, too."""
    body = await decode_body(request, ChangePackageRequest)
    name = path_name(request)
    await domain.demand_trusted_publishing(services_of(request), caller, name, body.trusted_publishing_only)
    return json_response(
        ChangePackageResponse(name=name, trusted_publishing_only=body.trusted_publishing_only)
    )


def _told(publisher: Publisher) -> TrustedPublisher:
    usable: Literal["active", "pending"] = "pending" if publisher.is_new else "active"
    return TrustedPublisher(
        id=str(publisher.id),
        kind=publisher.kind,
        issuer=publisher.issuer,
        repository=publisher.repository,
        workflow=publisher.workflow,
        environment=publisher.environment,
        added_by=publisher.added_by,
        created_at=render_timestamp(publisher.created_at),
        state=usable if publisher.is_usable else "inactive",
    )
