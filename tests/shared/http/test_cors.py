"""CORS headers, exactly as contract 1.5 says."""

from __future__ import annotations

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp

from shared.http.cors import CorsMiddleware
from shared.http.request_id import RequestIdMiddleware
from tests.shared.http.plain import client_of

WEB = "https://web.example"
VARY = "origin, access-control-request-method, access-control-request-headers"
EXPOSED = "x-request-id, etag"


async def answer_of(app: ASGIApp, method: str, origin: str | None) -> httpx.Response:
    """One request to an application behind a real server."""
    headers = {} if origin is None else {"origin": origin}
    async with client_of(app) as http:
        return await http.request(method, "/any/path", headers=headers)


def behind_cors(*origins: str) -> ASGIApp:
    """The middleware that the applications use."""
    plain = PlainTextResponse("ok", headers={"vary": "accept-encoding"})
    return RequestIdMiddleware(CorsMiddleware(plain, origins))


def cors_headers(answer: httpx.Response) -> dict[str, str]:
    """Only the headers of CORS."""
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


@pytest.mark.parametrize(
    ("origin", "is_listed"),
    [
        (WEB, True),
        ("https://second.example", True),
        (None, False),
        ("https://WEB.example", False),
        (f"{WEB}/", False),
        ("https://other.example", False),
        ("null", False),
        ("*", False),
    ],
)
async def test_a_list_names_the_origin_only_if_it_is_listed(origin: str | None, is_listed: bool) -> None:
    """Origins are compared byte for byte; credentials, Vary and exposed headers are always sent."""
    answer = await answer_of(behind_cors(WEB, "https://second.example"), "GET", origin)
    expected = {
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": EXPOSED,
    }
    if is_listed:
        expected["access-control-allow-origin"] = str(origin)
    assert cors_headers(answer) == expected
    assert answer.headers["vary"] == f"accept-encoding, {VARY}"


@pytest.mark.parametrize("origin", [None, WEB])
async def test_a_star_allows_any_origin_and_no_credentials(origin: str | None) -> None:
    """This holds whatever else is listed, and without an Origin too."""
    answer = await answer_of(behind_cors(WEB, "*"), "GET", origin)
    assert cors_headers(answer) == {
        "access-control-allow-origin": "*",
        "access-control-expose-headers": EXPOSED,
    }


@pytest.mark.parametrize("origin", [None, WEB, "https://refused.example"])
async def test_options_is_answered_on_any_path(origin: str | None) -> None:
    """200 even for a refused origin: the missing allow-origin is the refusal. It has a request id too."""
    answer = await answer_of(behind_cors(WEB), "OPTIONS", origin)
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "0")
    assert answer.headers["access-control-allow-methods"] == "GET,HEAD,OPTIONS,POST,DELETE"
    assert answer.headers["access-control-allow-headers"] == "authorization,content-type,x-x07-csrf"
    assert answer.headers.get("access-control-allow-origin") == (WEB if origin == WEB else None)
    assert "access-control-max-age" not in answer.headers
    assert len(answer.headers["x-request-id"]) == 32


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
async def test_without_origins_there_is_no_cors_at_all(method: str) -> None:
    """The application itself answers OPTIONS."""
    answer = await answer_of(behind_cors(), method, WEB)
    assert cors_headers(answer) == {}
    assert (answer.text, answer.headers["vary"]) == ("ok", "accept-encoding")
