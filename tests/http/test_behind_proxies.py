"""Proxies that share a connection among clients: one client's bytes never become another's request."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.archives import hello_archive
from tests.http.proxies import running_proxy
from tests.loud import say_loudly
from tests.shared.http.raw import Connection
from tests.stack import Registry

# The next client's request line and headers, with the token, would be appended here.
HIDDEN = b"DELETE /v1/packages/hello/owners/bob HTTP/1.1\r\nHost: x\r\nX-Swallowed: "
LENGTH = b"Content-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN
CHUNKS = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(HIDDEN) + HIDDEN + b"\r\n0\r\n\r\n"


@pytest.mark.long
@pytest.mark.parametrize("kind", ["nginx", "go"])
async def test_no_visitor_puts_a_request_before_that_of_the_next_one(
    kind: str, fs_registry: Registry, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """An `Upgrade` with a body, with any method and to any route, while the proxy keeps its connection."""
    alice = await fs_registry.add_publisher("alice", "publish", "owner.manage")
    await fs_registry.publish(hello_archive(), alice)
    await fs_registry.add_user("bob")
    await fs_registry.http.post("/v1/packages/hello/owners", json={"handle": "bob"}, headers=alice)
    async with running_proxy(kind, tmp_path, fs_registry.url.removeprefix("http://")) as url:
        if url is None:
            say_loudly(request, f"{kind} is not here: no attack by Upgrade went through it")
            return
        async with httpx.AsyncClient(base_url=url, timeout=60) as visitor:
            for method in (b"GET", b"POST", b"DELETE"):
                for path in (b"/healthz", b"/v1/search?q=a", b"/index/he/ll/hello", b"/nowhere"):
                    for body in (LENGTH, CHUNKS):
                        await _attack(url, method + b" " + path, body)
                        answer = await visitor.get("/v1/packages/hello", headers=alice)
                        assert (answer.status_code, answer.json()["name"]) == (200, "hello"), answer.text
    owners = (await fs_registry.http.get("/v1/packages/hello/owners")).json()["owners"]
    assert owners == ["alice", "bob"]


async def _attack(url: str, line: bytes, body: bytes) -> None:
    connection = await Connection.open(url.removeprefix("http://"))
    head = line + b" HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
    assert (await connection.ask(head + body)).startswith(b"HTTP/1.1 ")
    connection.close()
