"""Trusted publishing for builds: GET /v1/trusted-publishing, POST and DELETE …/tokens."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from api.write.credentials import new_token
from api.write.endpoint import Auth, Endpoints, Scope
from api.write.identity_tokens import MAX_TOKEN_CHARS
from api.write.json_body import decode_body, json_response
from api.write.principal import Principal
from api.write.rate_limits import Attempt
from api.write.routes.account import NO_STORE, OkResponse
from api.write.services import services_of
from api.write.trusted_publishing import exchange as domain
from shared.credential_errors import IdentityInvalid, TokenGenerationFailed
from shared.errors import Forbidden, Unavailable
from shared.timestamps import render_timestamp

route = Endpoints()


class TrustedIssuer(msgspec.Struct, frozen=True, kw_only=True):
    """An issuer of build identities. kind: `github` or `gitlab`."""

    kind: str
    issuer: str


class TrustedPublishingResponse(msgspec.Struct, frozen=True, kw_only=True):
    """audience: what a build asks its issuer for an identity token for."""

    ok: bool = True
    audience: str
    issuers: tuple[TrustedIssuer, ...]


class ExchangeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """jwt: the identity token of the build. package: which one, where several packages trust the build."""

    jwt: Annotated[str, msgspec.Meta(max_length=MAX_TOKEN_CHARS)]
    package: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9_-]{1,128}\Z")] | UnsetType = UNSET


class ExchangeResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A token that publishes this package, and nothing else, until it ends."""

    ok: bool = True
    token: str
    expires_at: str
    package: str


@route.get("/v1/trusted-publishing", response=TrustedPublishingResponse, is_static=True)
async def trusted_publishing(request: Request) -> Response:
    """The audience to ask for, and the issuers that are trusted."""
    settings = services_of(request).settings
    issuers = tuple(TrustedIssuer(kind=each.kind, issuer=each.url) for each in settings.trusted_issuers)
    return json_response(TrustedPublishingResponse(audience=settings.public_base, issuers=issuers))


@route.post(
    "/v1/trusted-publishing/tokens",
    request=ExchangeRequest,
    response=ExchangeResponse,
    headers=("cache-control",),
    errors=(IdentityInvalid, Forbidden, Unavailable, TokenGenerationFailed),
    limited=Attempt.TOKEN_CREATION,
)
async def exchange_token(request: Request) -> Response:
    """Exchange the identity token of a build for a token that publishes one package for 15 minutes."""
    body = await decode_body(request, ExchangeRequest)
    made = await domain.exchange(services_of(request), body.jwt, body.package or None, new_token())
    return json_response(
        ExchangeResponse(
            token=made.secret, expires_at=render_timestamp(made.expires_at), package=made.package
        ),
        headers=NO_STORE,
    )


@route.delete(
    "/v1/trusted-publishing/tokens",
    auth=Auth.TOKEN,
    scope=Scope.PUBLISH,
    response=OkResponse,
    errors=(Forbidden,),
)
async def end_token(request: Request, caller: Principal) -> Response:
    """End the token that the request shows, as a build does after its last publish."""
    await domain.end_token(services_of(request), caller)
    return json_response(OkResponse())
