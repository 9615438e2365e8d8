"""Errors as answers: one JSON shape for all of them (contract, 1.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from shared.errors import BadRequest, Internal, NotFound, RegistryError


class ErrorBody(msgspec.Struct, frozen=True):
    """The body of every error. code: stable. message: for humans. request_id: as in the header."""

    code: str
    message: str
    request_id: str


def error_response(error: RegistryError, scope: Scope) -> Response:
    """The answer to a request that failed with this error."""
    body = ErrorBody(error.code, error.message, scope.get("state", {}).get("request_id", ""))
    return Response(
        msgspec.json.encode(body), error.status, dict(error.headers), media_type="application/json"
    )


async def _registry_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, RegistryError):
        raise error
    return error_response(error, request.scope)


async def _framework_error(request: Request, error: Exception) -> Response:
    """What starlette raises by itself, as one of ours."""
    status = error.status_code if isinstance(error, HTTPException) else Internal.status
    known: dict[int, type[RegistryError]] = {400: BadRequest, 404: NotFound}
    return error_response(known.get(status, Internal)(), request.scope)


exception_handlers: Mapping[Any, Any] = {
    RegistryError: _registry_error,
    HTTPException: _framework_error,
}
