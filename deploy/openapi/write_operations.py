"""The write API's operations, from its endpoints' declarations."""

from __future__ import annotations

import inspect
from typing import Any, Final

from api.write.endpoint import Auth, Endpoint
from deploy.openapi.operation import Answer, Operation, Parameter
from deploy.openapi.vocabulary import path_parameters
from shared import credential_errors, errors
from shared.blobs import ARCHIVE_TYPE, JSON_TYPE

OF_EVERY_ROUTE: Final = (errors.BadRequest, errors.MethodNotAllowed, errors.Internal, errors.Unavailable)
OF_DEPENDENCIES: Final = (errors.DatabaseFailed,)
OF_JSON_BODIES: Final = (
    errors.BadRequest,
    errors.PayloadTooLarge,
    errors.UnsupportedMediaType,
    errors.UnprocessableBody,
)
OF_CREDENTIALS: Final = (
    credential_errors.AuthRequired,
    credential_errors.AuthInvalid,
    credential_errors.AuthExpired,
)
OF_COOKIE_CHANGES: Final = (
    credential_errors.CsrfOriginRequired,
    credential_errors.CsrfOriginForbidden,
    credential_errors.CsrfRequired,
    credential_errors.CsrfInvalid,
)
IF_NONE_MATCH: Final = Parameter("if-none-match", "header", str, "ETags that the client has, or `*`.")
ORIGIN: Final = Parameter("origin", "header", str, "Required with a session: a page's origin, listed here.")

SIGNATURE: Final = (
    Parameter("github-public-key-identifier", "header", str, "Required: the key that signed the body."),
    Parameter(
        "github-public-key-signature",
        "header",
        str,
        "Required: ECDSA over P-256 and SHA-256 of the raw body, DER in base64.",
    ),
)


def operation_of(endpoint: Endpoint) -> Operation:
    """The operation of an endpoint."""
    return Operation(
        method=endpoint.method,
        path=endpoint.path,
        name=endpoint.handler.__name__,
        tag=endpoint.handler.__module__.rpartition(".")[2].replace("_", " "),
        description=inspect.getdoc(endpoint.handler) or "",
        parameters=_parameters(endpoint),
        body=_body(endpoint),
        answers=_answers(endpoint),
        errors=errors_of(endpoint),
        security=_security(endpoint),
    )


def errors_of(endpoint: Endpoint) -> tuple[type[errors.RegistryError], ...]:
    """All errors that the endpoint may answer."""
    found = [*OF_EVERY_ROUTE, *endpoint.errors]
    if not endpoint.is_static:
        found += OF_DEPENDENCIES
    if endpoint.request is not None:
        found += OF_JSON_BODIES
    if (endpoint.request, endpoint.signed, endpoint.is_upload) != (None, None, False):
        found.append(errors.BodyTooSlow)
    if endpoint.auth is not Auth.NONE or endpoint.shows_packages:
        found += OF_CREDENTIALS
    if endpoint.scope is not None:
        found.append(errors.Forbidden)
    if _changes_by_cookie(endpoint):
        found += OF_COOKIE_CHANGES
    if endpoint.limited is not None:
        found += (errors.RateLimited, credential_errors.AuthInvalid)
    return tuple(dict.fromkeys(found))


def _parameters(endpoint: Endpoint) -> tuple[Parameter, ...]:
    found = [*path_parameters(endpoint.path)]
    found += [Parameter(query.name, "query", query.kind, query.description) for query in endpoint.query]
    if endpoint.is_cached:
        found.append(IF_NONE_MATCH)
    if _changes_by_cookie(endpoint):
        found.append(ORIGIN)
    if endpoint.signed is not None:
        found += SIGNATURE
    return tuple(found)


def _changes_by_cookie(endpoint: Endpoint) -> bool:
    return endpoint.auth in (Auth.SESSION, Auth.EITHER) and endpoint.method != "GET"


def _body(endpoint: Endpoint) -> tuple[str, Any] | None:
    if endpoint.is_upload:
        return ARCHIVE_TYPE, None
    model = endpoint.request or endpoint.signed
    return (JSON_TYPE, model) if model is not None else None


def _answers(endpoint: Endpoint) -> tuple[Answer, ...]:
    headers = endpoint.headers
    if endpoint.auth is not Auth.NONE:
        headers += ("cache-control",)
    if endpoint.is_cached:
        headers += ("etag", "cache-control")
    media_type = None
    if endpoint.response is not None:
        media_type = "text/plain" if endpoint.response is str else JSON_TYPE
    found = [
        Answer(
            status=status,
            description="Success." if status == endpoint.status else "Not now; the body says why.",
            media_type=media_type,
            model=endpoint.response,
            headers=headers,
        )
        for status in (endpoint.status, *endpoint.also)
    ]
    if endpoint.is_cached:
        found.append(Answer(status=304, description="The client has it.", headers=("etag", "cache-control")))
    return tuple(found)


def _security(endpoint: Endpoint) -> tuple[dict[str, tuple[str, ...]], ...]:
    scopes = (str(endpoint.scope),) if endpoint.scope is not None else ()
    token: dict[str, tuple[str, ...]] = {"token": scopes}
    session: dict[str, tuple[str, ...]] = {"session": scopes}
    if endpoint.shows_packages:
        return ({}, {"token": ("read",)}, {"session": ()})
    if _changes_by_cookie(endpoint):
        session["csrf"] = ()
    match endpoint.auth:
        case Auth.NONE:
            return ({}, session) if endpoint.may_have_session else ()
        case Auth.TOKEN:
            return (token,)
        case Auth.SESSION:
            return (session,)
        case Auth.EITHER:
            return (token, session)
