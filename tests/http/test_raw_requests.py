"""Unusual requests, byte by byte, to both tiers: they are answered, or refused in JSON."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from itertools import product
from typing import Any

import pytest
import pytest_asyncio

from api.read.fast_path import FastProtocol
from deploy.asgi import build_combined_app, build_read_app, build_write_app
from shared.http.guarded_protocol import GuardedProtocol
from tests.archives import hello_archive
from tests.browser import WEB_ORIGIN, Browser
from tests.conftest import MakeSettings
from tests.shared.http.raw import Connection, conversation, head
from tests.stack import Registry, serving

HOST = b"Host: x"
CLOSE = b"Connection: close"
SERVERS: dict[str, tuple[Any, type[Any]]] = {
    "write": (build_write_app, GuardedProtocol),
    "read": (build_read_app, FastProtocol),
    "all": (build_combined_app, FastProtocol),
}


@pytest_asyncio.fixture(params=SERVERS)
async def address(request: pytest.FixtureRequest, make_default_settings: MakeSettings) -> AsyncIterator[str]:
    """HOST:PORT of one server of each kind."""
    build_app, protocol = SERVERS[request.param]
    async with serving(build_app(await make_default_settings()), protocol) as url:
        yield url.removeprefix("http://")


async def test_the_body_of_a_request_with_an_upgrade_is_no_request(address: str) -> None:
    """Each request has one answer, with a length or in chunks; the connection continues."""
    hidden = head(b"/healthz", HOST)
    chunks = b"%x\r\n" % len(hidden) + hidden + b"\r\n0\r\n\r\n"
    for method, token in product((b"GET", b"POST"), (b"h2c", b"websocket", b"TLS/1.0")):
        lines = [HOST, b"Connection: Upgrade", b"Upgrade: " + token]
        known = head(b"/healthz", *lines, b"Content-Length: %d" % len(hidden), method=method) + hidden
        chunked = head(b"/healthz", *lines, b"Transfer-Encoding: chunked", method=method) + chunks
        answers = await conversation(address, known + chunked + head(b"/healthz", HOST, CLOSE))
        assert len(re.findall(rb"HTTP/1\.1 [0-9]{3} ", answers)) == 3, (method, token)
        assert answers.count(b"HTTP/1.1 200 OK") == (3 if method == b"GET" else 1), (method, token)


async def test_the_preface_of_http_2_is_answered_for_a_person(address: str) -> None:
    """A client that uses HTTP/2 without TLS is told which versions the server supports."""
    answer = await conversation(
        address, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    )
    assert answer.startswith(b"HTTP/1.1 505 ")
    assert "HTTP/1.1" in json.loads(answer.partition(b"\r\n\r\n")[2])["message"]


async def test_a_client_that_sends_no_more_reads_the_index(fs_registry: Registry) -> None:
    """`nc -N` does this, in HTTP/1.0 and 1.1, for cached files and others."""
    await fs_registry.publish(hello_archive(), await fs_registry.add_publisher())
    await fs_registry.until_in_catalog("hello", "0.1.0")
    for path in (b"/index/catalog.json", b"/index/he/ll/hello", b"/v1/packages/hello", b"/index/he/ll/hello"):
        for request in (b"GET " + path + b" HTTP/1.0\r\n\r\n", head(path, HOST)):
            answer = await _half_closed(fs_registry, request)
            assert answer.startswith(b"HTTP/1.1 200 OK")
            assert b'"hello"' in answer


async def test_a_publish_of_a_client_that_sends_no_more_counts(fs_registry: Registry) -> None:
    """All of it arrived (RFC 9112, 9.6)."""
    token = (await fs_registry.add_publisher())["authorization"].encode()
    archive = hello_archive()
    lines = [HOST, b"Authorization: " + token, b"Content-Length: %d" % len(archive)]
    answer = await _half_closed(fs_registry, head(b"/v1/packages/publish", *lines, method=b"POST") + archive)
    assert answer.startswith(b"HTTP/1.1 200 OK")
    await fs_registry.until_in_catalog("hello", "0.1.0")


@pytest.mark.parametrize("blanks", [b"", b" ", b"\t", b" \t "])
async def test_white_space_around_a_value_is_no_part_of_it(
    blanks: bytes, github_registry: Registry, browser: Browser
) -> None:
    """RFC 9110, 5.5, for Origin, the CSRF token, the cookie and the type of a body."""
    await browser.sign_in("octo")
    csrf = (await browser.session())["csrf_token"].encode()
    cookie = b"x07_session=" + browser.http.cookies["x07_session"].encode()
    body = b'{"label":"x","scopes":["publish"]}'
    values = {
        b"Host": b"x",
        b"Origin": WEB_ORIGIN.encode(),
        b"X-X07-CSRF": csrf,
        b"Cookie": cookie,
        b"Content-Type": b"application/json",
        b"Content-Length": b"%d" % len(body),
        b"Connection": b"close",
    }
    lines = [name + b":" + blanks + value + blanks for name, value in values.items()]
    answer = await _conversation(github_registry, head(b"/v1/tokens", *lines, method=b"POST") + body)
    assert answer.startswith(b"HTTP/1.1 200 OK"), answer


async def test_the_index_host_is_known_by_its_name_alone(fs_registry: Registry) -> None:
    """Blanks, a port and the case of letters do not matter."""
    await fs_registry.until_configured()
    for host in (b"index.x07.io ", b"index.x07.io\t", b" index.x07.io:443 ", b"INDEX.x07.io"):
        answer = await _conversation(fs_registry, head(b"/config.json", b"Host:" + host, CLOSE))
        assert answer.startswith(b"HTTP/1.1 200 OK"), host


async def test_the_host_of_an_absolute_target_counts(fs_registry: Registry) -> None:
    """The Host header beside it does not matter (RFC 9112, 3.2.2)."""
    await fs_registry.until_configured()
    known = await _conversation(fs_registry, head(b"http://index.x07.io/config.json", HOST, CLOSE))
    assert known.startswith(b"HTTP/1.1 200 OK")
    host = b"Host: index.x07.io"
    unknown = await _conversation(fs_registry, head(b"http://x/config.json", host, CLOSE))
    assert unknown.startswith(b"HTTP/1.1 404 ")


async def test_raw_utf_8_in_a_query_is_read_as_its_percent_encoding(fs_registry: Registry) -> None:
    """curl sends typed text like this; bytes that are not UTF-8 are refused in either form."""
    await fs_registry.publish(hello_archive(), await fs_registry.add_publisher())
    answers = [
        await _conversation(fs_registry, head(b"/v1/search?" + query, HOST, CLOSE))
        for query in ("q=hél".encode(), b"q=h%C3%A9l", "é=1&q=hel".encode(), b"q=h\xe9l", b"q=h%E9l")
    ]
    bodies = [json.loads(answer.partition(b"\r\n\r\n")[2]) for answer in answers]
    found = [[package["name"] for package in body["packages"]] for body in bodies[:3]]
    assert found == [[], [], ["hello"]]
    assert {error["message"] for error in bodies[3:]} == {"query is not UTF-8"}


async def _conversation(registry: Registry, data: bytes) -> bytes:
    return await conversation(registry.url.removeprefix("http://"), data)


async def _half_closed(registry: Registry, data: bytes) -> bytes:
    """The complete answer after everything was sent and the sending side was closed."""
    connection = await Connection.open(registry.url.removeprefix("http://"))
    await connection.send(data)
    connection.end()
    return await connection.read_all()
