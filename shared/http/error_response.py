"""Turns errors into answers: a status, JSON of one shape (contract, 1.4), and headers such as Retry-After."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from shared.errors import BadRequest, Internal, MethodNotAllowed, NotFound, PayloadTooLarge, RegistryError


class ErrorBody(msgspec.Struct, frozen=True):
    """The body of every error. code: stable. message: for humans. request_id: as in the header."""

    code: str
    message: str
    request_id: str


def error_body(code: str, message: str, request_id: str) -> bytes:
    """The JSON of an error: three keys in this order, compact, non-ASCII raw."""
    return msgspec.json.encode(ErrorBody(code, message, request_id))


def error_headers(error: RegistryError) -> dict[str, str]:
    """The headers of an error, with Retry-After (RFC 9110, 10.2.3) if another attempt may work."""
    retry = {} if error.retry_after_s is None else {"retry-after": str(error.retry_after_s)}
    return {**error.headers, **retry}


def error_response(error: RegistryError, scope: Scope) -> Response:
    """The answer to a request that failed with this error."""
    request_id = scope.get("state", {}).get("request_id", "")
    body = error_body(error.code, error.message, request_id)
    return Response(body, error.status, error_headers(error), media_type="application/json")


async def _registry_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, RegistryError):
        raise error
    return error_response(error, request.scope)


async def _framework_error(request: Request, error: Exception) -> Response:
    """Answer an exception of Starlette with the matching RegistryError."""
    if not isinstance(error, HTTPException):
        raise error
    return error_response(_typed(error), request.scope)


def _typed(error: HTTPException) -> RegistryError:
    match error.status_code:
        case 400:
            return BadRequest()
        case 404:
            return NotFound()
        case 405:
            allow = (error.headers or {}).get("Allow", "")
            return MethodNotAllowed(headers={"allow": ",".join(sorted(allow.replace(",", " ").split()))})
        case 413:
            return PayloadTooLarge()
        case _:
            return Internal()


async def _unexpected_error(request: Request, error: Exception) -> Response:
    """Answer a bug with 500.

    Starlette raises the exception again afterwards, and RequestIdMiddleware logs it.
    """
    return error_response(Internal(), request.scope)


exception_handlers: Final[Mapping[Any, Any]] = {
    RegistryError: _registry_error,
    HTTPException: _framework_error,
    Exception: _unexpected_error,
}
"""For `Starlette(exception_handlers=…)`: answer every failure with the JSON of an error."""
