"""Bad input on every declared route: a 4xx with a code, never a 500, and nothing written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import msgspec
import pytest_asyncio

from api.write.endpoint import Endpoint
from api.write.json_body import MAX_BODY_BYTES
from api.write.routes import ALL_ENDPOINTS
from tests.archives import hello_archive
from tests.http.declared import body_of, path_of
from tests.shared.http.raw import conversation, head
from tests.stack import ALL_SCOPES, Registry

JSON = {"content-type": "application/json"}
NOT_JSON = {
    "empty": b"",
    "text": b"hello",
    "cut": b'{"label":"ci"',
    "trailing": b"{} {}",
    "bom": b"\xef\xbb\xbf{}",
    "nan": b'{"x":NaN}',
    "nul": b'{"x":"a\0b"}',
    "latin_1": b'{"x":"\xe9"}',
    "surrogate": b'{"x":"\\ud800"}',
    "deep": b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "form": b"label=ci",
}
TABLES = (
    *("users", "tokens", "packages", "package_owners", "package_versions", "package_version_advisories"),
    "audit_events",
)
UPWARDS = "\u202e../../"
WRONG_VALUES = [None, 7, True, "", "a\0b", NO_SCOPES := [], {}, [None], "x" * 70_000, UPWARDS, -1]
# Bodies that are wrong in other fields.
FINE_VALUES: dict[str, list[Any]] = {
    "yanked": [True],
    "trusted_publishing_only": [True],
    "scopes": [NO_SCOPES],
    "label": ["", UPWARDS],
    "summary": [UPWARDS],
}
BAD_PATHS = {
    "name": ["Hello", "h%00", "%E2%82%AC", "h%20", "..%2f", "h%0d%0ax"],
    "version": ["1.0", "v1.0.0", "01.0.0", "1.0.0%00", "1.0.0%2f..", "1.0.0-%E2%82%AC"],
    "handle": ["%20", "b%00", "b%2fb", "%E2%82%AC", "b" * 4000],
    "token_id": ["1", "%00", "0" * 31, "{" + "0" * 32, "0" * 33],
    "id": ["1", "%00", "g" * 32, "7f9c24e8-3b12-4f0e-9c38-2a64d2a5c9b"],
}
BAD_PAGES = ["limit=-1", "limit=abc", "limit=", "limit=4294967296", "offset=-1", "offset=1e3", "offset=%00"]


def with_bodies() -> Iterator[tuple[Endpoint, dict[str, Any]]]:
    """Endpoints that read JSON, each with a valid body."""
    for endpoint in ALL_ENDPOINTS:
        if endpoint.request is not None:
            yield endpoint, body_of(endpoint)["json"]


def is_refused(answer: httpx.Response, *statuses: int) -> None:
    """Require a 4xx with an error body."""
    where = f"{answer.request.method} {answer.request.url}"[:300]
    assert answer.status_code in (statuses or range(400, 500)), (where, answer.text)
    assert list(answer.json()) == ["code", "message", "request_id"], where
    assert answer.json()["code"].startswith("X07REG_"), where
    assert len(answer.content) < 4096, where


@pytest_asyncio.fixture
async def caller(fs_registry: Registry) -> dict[str, str]:
    """The headers of an owner of `hello` who may do everything."""
    headers = await fs_registry.add_publisher("alice", *ALL_SCOPES)
    assert (await fs_registry.publish(hello_archive(), headers)).status_code == 200
    await fs_registry.add_user("bob")
    return headers


async def written(registry: Registry) -> list[list[Any]]:
    """Everything that a change could have written."""
    # A token's last use is not a change.
    sql = "SELECT (to_jsonb(t) - 'last_used_at')::text AS kept FROM {} t ORDER BY kept"
    rows = [[tuple(row) for row in await registry.rows(sql.format(table))] for table in TABLES]
    return [*rows, await registry.keys("staging/"), await registry.keys("dl/")]


async def test_a_body_that_is_not_json_is_refused(fs_registry: Registry, caller: dict[str, str]) -> None:
    """Every route that reads a body refuses it: 400, or 415 if the content type is not JSON."""
    before = await written(fs_registry)
    for endpoint, good in with_bodies():
        path, send = path_of(endpoint), partial(fs_registry.http.request, endpoint.method)
        for body in NOT_JSON.values():
            is_refused(await send(path, content=body, headers={**caller, **JSON}), 400)
        whole = msgspec.json.encode(good)
        for kind in ("", "text/plain", "application/x-www-form-urlencoded", "json", "application/jsonp"):
            is_refused(await send(path, content=whole, headers={**caller, "content-type": kind}), 415)
        is_refused(await send(path, content=whole, headers=caller), 415)
        huge = b'{"x":"' + b"x" * MAX_BODY_BYTES + b'"}'
        is_refused(await send(path, content=huge, headers={**caller, **JSON}), 413)
    assert await written(fs_registry) == before


async def test_json_of_another_shape_is_refused(fs_registry: Registry, caller: dict[str, str]) -> None:
    """The body is not an object, a field is wrong, repeated or missing."""
    before = await written(fs_registry)
    for endpoint, good in with_bodies():
        path, headers = path_of(endpoint), {**caller, **JSON}
        send = partial(fs_registry.http.request, endpoint.method)
        for body in (b"[]", b"7", b'"x"', b"null"):
            is_refused(await send(path, content=body, headers=headers), 422)
        for field, value in good.items():
            twice = msgspec.json.encode(good)[:-1] + b"," + msgspec.json.encode({field: value})[1:]
            is_refused(await send(path, content=twice, headers=headers), 422)
            for wrong in WRONG_VALUES:
                if any(wrong is fine for fine in FINE_VALUES.get(field, ())):
                    continue
                text = msgspec.json.encode({**good, field: wrong})
                is_refused(await send(path, content=text, headers=headers), 400, 404, 422)
    assert await written(fs_registry) == before


async def test_huge_unknown_fields_are_ignored(fs_registry: Registry, caller: dict[str, str]) -> None:
    """Newer clients may send more fields; they are not stored."""
    for endpoint, good in with_bodies():
        body = {**good, "unknown": ["x" * 1000] * 500, "x" * 60_000: None}
        answer = await fs_registry.http.request(endpoint.method, path_of(endpoint), json=body, headers=caller)
        expected = "X07REG_IDENTITY_INVALID" if "jwt" in good else None
        if "{id}" in endpoint.path:
            expected = "X07REG_NOT_FOUND"  # the fields were read, and then there is no such object
        assert answer.json().get("code") == expected, answer.text


async def test_a_path_that_names_nothing_is_refused(fs_registry: Registry, caller: dict[str, str]) -> None:
    """Invalid names, versions, handles and ids are refused on every route that has them."""
    before = await written(fs_registry)
    for endpoint in ALL_ENDPOINTS:
        for parameter in re.findall(r"{(\w+)}", endpoint.path):
            if parameter == "name" and "archetypes" in endpoint.path:
                continue
            for bad in [*BAD_PATHS[parameter], "%ff", "%zz"]:
                path = path_of(endpoint, **{parameter: bad})
                answer = await fs_registry.http.request(
                    endpoint.method, path, headers=caller, **body_of(endpoint)
                )
                is_refused(answer, 400, 404, 405)
    assert await written(fs_registry) == before


async def test_a_bad_page_is_refused(fs_registry: Registry) -> None:
    """Every list refuses it; the largest valid numbers give an empty page."""
    paged = [endpoint for endpoint in ALL_ENDPOINTS if any(query.name == "limit" for query in endpoint.query)]
    assert len(paged) == 3
    publisher = await fs_registry.add_publisher()
    assert (await fs_registry.publish(hello_archive(), publisher)).status_code == 200
    for endpoint in paged:
        path = path_of(endpoint)
        for query in [*BAD_PAGES, "limit=1&limit=1", "limit=%ff", "limit=0x1", "limit=%EF%BC%91"]:
            is_refused(await fs_registry.http.get(f"{path}?{query}"), 400)
        answer = await fs_registry.http.get(f"{path}?limit=4294967295&offset=4294967295")
        assert (answer.status_code, answer.json()["limit"]) == (200, 100), answer.text


async def test_two_authorization_headers_are_refused(fs_registry: Registry, caller: dict[str, str]) -> None:
    """Proxies and this server might disagree on which one counts, so neither does."""
    before = await written(fs_registry)
    for endpoint in ALL_ENDPOINTS:
        if endpoint.auth.value not in ("token", "either"):
            continue
        for other in ("Bearer x07t_other", caller["authorization"], "Basic YTpi"):
            lines = [("authorization", caller["authorization"]), ("authorization", other)]
            answer = await fs_registry.http.request(endpoint.method, path_of(endpoint), headers=lines)
            is_refused(answer, 401)
            assert answer.json()["code"] == "X07REG_AUTH_INVALID"
    assert await written(fs_registry) == before


async def test_a_request_without_a_host_is_refused_on_every_route(fs_registry: Registry) -> None:
    """RFC 9112, 3.2, requires this: a server cannot guess which host was meant."""
    address = fs_registry.url.removeprefix("http://")
    for endpoint in ALL_ENDPOINTS:
        answer = await conversation(
            address, head(path_of(endpoint).encode(), method=endpoint.method.encode())
        )
        lines, _, body = answer.partition(b"\r\n\r\n")
        assert lines.startswith(b"HTTP/1.1 400 ")
        error = msgspec.json.decode(body)
        assert (error["code"], set(error)) == ("X07REG_BAD_REQUEST", {"code", "message", "request_id"})
