"""Every error has the same JSON form, wherever it was raised."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from structlog.testing import capture_logs

from shared.errors import Forbidden, RegistryError, StorageUnavailable
from shared.http.error_response import error_body, exception_handlers
from shared.http.request_id import RequestIdMiddleware
from tests.shared.http.plain import client_of

FAILURES: dict[str, Exception] = {
    "forbidden": Forbidden("missing scope: publish"),
    "unavailable": StorageUnavailable(),
    "bad": HTTPException(400),
    "large": HTTPException(413),
    "teapot": HTTPException(418),
    "bug": LookupError("a secret detail"),
}


async def fail(request: Request) -> Response:
    """Raise the error that the path names."""
    raise FAILURES[request.path_params["what"]]


app = RequestIdMiddleware(
    Starlette(
        routes=[
            Route("/fail/{what}", fail),
            Route("/form", lambda request: PlainTextResponse("ok"), methods=["POST", "GET"]),
        ],
        exception_handlers=dict(exception_handlers),
    )
)


@given(*[st.text(st.characters(exclude_categories=["Cs"]))] * 3)
def test_the_body_is_what_the_contract_writes(code: str, message: str, request_id: str) -> None:
    """Three keys in this order, compact, non-ASCII unescaped, control characters escaped like in Python."""
    fields = {"code": code, "message": message, "request_id": request_id}
    assert (
        error_body(code, message, request_id)
        == json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
    )


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "extra"),
    [
        ("GET", "/fail/forbidden", 403, "X07REG_FORBIDDEN", {}),
        ("GET", "/fail/unavailable", 503, "X07REG_UNAVAILABLE", {"retry-after": "2"}),
        ("GET", "/fail/bad", 400, "X07REG_BAD_REQUEST", {}),
        ("GET", "/fail/large", 413, "X07REG_PAYLOAD_TOO_LARGE", {}),
        ("GET", "/fail/teapot", 500, "X07REG_INTERNAL", {}),
        ("GET", "/fail/bug", 500, "X07REG_INTERNAL", {}),
        ("GET", "/nowhere", 404, "X07REG_NOT_FOUND", {}),
        ("DELETE", "/form", 405, "X07REG_METHOD_NOT_ALLOWED", {"allow": "GET,HEAD,POST"}),
        ("POST", "/fail/bad", 405, "X07REG_METHOD_NOT_ALLOWED", {"allow": "GET,HEAD"}),
    ],
)
async def test_whoever_raises_it_an_error_is_json(
    method: str, path: str, status: int, code: str, extra: dict[str, str]
) -> None:
    """Ours, the framework's, and unexpected ones; no internal detail is sent."""
    with capture_logs():
        async with client_of(app) as http:
            answer = await http.request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    assert list(answer.json()) == ["code", "message", "request_id"]
    assert (answer.json()["code"], answer.json()["request_id"]) == (code, answer.headers["x-request-id"])
    assert {name: answer.headers[name] for name in extra} == extra
    assert "cache-control" not in answer.headers
    assert b"secret" not in answer.content


def test_every_error_has_one_status_and_one_code() -> None:
    """As in contract 2.5, each code has exactly one status."""
    statuses: dict[str, set[int]] = {}
    waiting: list[type[RegistryError]] = [RegistryError]
    while waiting:
        error = waiting.pop()
        waiting += error.__subclasses__()
        statuses.setdefault(error.code, set()).add(error.status)
    assert {code: found for code, found in statuses.items() if len(found) > 1} == {}
