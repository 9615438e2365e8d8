"""Requests that the edge itself refuses get a 4xx with the same JSON, status and code as from the tiers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.archives import hello_archive
from tests.edge.conftest import INDEX, Edge

Headers = dict[str, str]

HOST = b"Host: x\r\n"
BAD, REFUSED = (400, "X07REG_BAD_REQUEST"), (405, "X07REG_METHOD_NOT_ALLOWED")
# Each is sent exactly as written, followed by an empty line.
REQUESTS = {
    b"get /index/config.json HTTP/1.1\r\n" + HOST: BAD,
    b"G\0T / HTTP/1.1\r\n" + HOST: BAD,
    b"G@T / HTTP/1.1\r\n" + HOST: BAD,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n" + HOST: BAD,
    b"BREW " + INDEX.encode() + b" HTTP/1.1\r\n" + HOST: BAD,
    b"PROPFIND /v1/packages/hello HTTP/1.1\r\n" + HOST: REFUSED,
    b"TRACE / HTTP/1.1\r\n" + HOST: REFUSED,
    b"CONNECT registry.example:443 HTTP/1.1\r\nHost: registry.example:443\r\n": BAD,
    b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\n" + HOST: (414, "X07REG_BAD_REQUEST"),
    b"GET " + INDEX.encode() + b"?x=" + b"a" * 40_000 + b" HTTP/1.1\r\n" + HOST: (414, "X07REG_BAD_REQUEST"),
    b"POST /v1/packages/publish?" + b"a" * 9_000 + b" HTTP/1.1\r\n" + HOST: (414, "X07REG_BAD_REQUEST"),
    b"GET / HTTP/1.1\r\nX-Long: " + b"a" * 9_000 + b"\r\n" + HOST: (431, "X07REG_BAD_REQUEST"),
    b"GET /index/\0 HTTP/1.1\r\n" + HOST: BAD,
    b"GET /index/%00 HTTP/1.1\r\n" + HOST: BAD,
    b"GET /index/a%zz HTTP/1.1\r\n" + HOST: BAD,
    b"GET /../../etc/passwd HTTP/1.1\r\n" + HOST: BAD,
    b"GET / HTTP/1.1\r\nX: a\0b\r\n" + HOST: BAD,
    b"GET / HTTP/1.1\r\n": BAD,
    b"GET / HTTP/1.1\r\n" + HOST + HOST: BAD,
    b"GET / HTTP/1.1\r\nHost: a b\r\n": BAD,
    b"GET / HTTP/7.9\r\n" + HOST: BAD,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n": BAD,
    b"POST / HTTP/1.1\r\nContent-Length: -1\r\n" + HOST: BAD,
    b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n" + HOST: BAD,
    b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n" + HOST: BAD,
    b"GET /.edge/file HTTP/1.1\r\n" + HOST: (404, "X07REG_NOT_FOUND"),
    b"GET /.edge/unavailable HTTP/1.1\r\n" + HOST: (404, "X07REG_NOT_FOUND"),
}


async def test_what_is_no_request_is_a_4xx_in_json(edge: Edge) -> None:
    """Odd methods, long targets, NUL and wrong framing each have a status; none gives a 500 or HTML."""
    found = {}
    for request in REQUESTS:
        status, headers, body = await raw(edge, request + b"\r\n")
        assert headers["content-type"] == "application/json", request[:60]
        assert set(body) == {"code", "message", "request_id"}, request[:60]
        assert body["request_id"] == headers["x-request-id"], request[:60]
        found[request] = (status, body["code"])
    assert {key[:60]: value for key, value in found.items()} == {
        key[:60]: value for key, value in REQUESTS.items()
    }


@pytest.mark.parametrize(
    ("path", "size", "refusal"),
    [
        ("/v1/packages/publish", 66 << 20, (400, "X07REG_BODY_TOO_LARGE")),
        ("/v1/packages/publish", (64 << 20) + 1, (400, "X07REG_BODY_TOO_LARGE")),
        ("/v1/tokens", 4 << 20, (413, "X07REG_PAYLOAD_TOO_LARGE")),
        ("/v1/tokens", (2 << 20) + 1, (413, "X07REG_PAYLOAD_TOO_LARGE")),
    ],
)
async def test_a_body_that_is_too_large_is_refused_as_the_tier_does_it(
    edge: Edge, path: str, size: int, refusal: tuple[int, str]
) -> None:
    """The tier refuses bodies just over the limit, the edge much larger ones; clients see no difference."""
    headers = await edge.registry.add_publisher("alice", "publish", "token.manage")
    head = (
        f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: {headers['authorization']}\r\n"
        f"content-type: application/json\r\ncontent-length: {size}\r\n\r\n"
    )
    body = b" " * size if size < 5 << 20 else b""
    answers = [await raw(edge, head.encode() + body, to=to) for to in (None, edge.registry.url)]
    assert [(status, body["code"]) for status, _, body in answers] == [refusal] * 2


async def test_a_refusal_costs_no_upload(edge: Edge) -> None:
    """The tier checks the token before the body arrives."""
    refused = await edge.http.post("/v1/packages/publish", content=hello_archive())
    assert refused.json()["code"] == "X07REG_AUTH_REQUIRED"


async def raw(edge: Edge, request: bytes, to: str | None = None) -> tuple[int, Headers, dict[str, Any]]:
    """Status, headers and body of the answer to exactly these bytes. to: another URL than the edge's."""
    host, _, port = (to or str(edge.http.base_url)).removeprefix("http://").rstrip("/").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    async with asyncio.timeout(60):
        status, *fields = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()[:-1]
        headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
    writer.close()
    return int(status.split()[1]), headers, body
