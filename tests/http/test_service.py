"""The service itself: its document, health, request ids, errors and CORS."""

from __future__ import annotations

import re

import pytest

from tests.archives import hello_archive
from tests.stack import Registry

REQUEST_ID = re.compile(r"[0-9a-f]{32}")


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_the_root_says_where_everything_is(registry: Registry) -> None:
    """It is constant, with sorted keys and no cache headers."""
    answer = await registry.http.get("/")
    assert answer.content == (
        b'{"catalog":"/index/catalog.json","healthz":"/healthz","index":"/index/",'
        b'"openapi":"/openapi/openapi.json","service":"x07-registry","version":"0.1.0","web":"https://x07.io"}'
    )
    assert "cache-control" not in answer.headers


async def test_healthz_is_ok_and_readyz_names_each_dependency(registry: Registry) -> None:
    """The status page requires exactly `ok`."""
    assert (await registry.http.get("/healthz")).text == "ok"
    ready = await registry.http.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["ok"] is True


UNKNOWN = [
    ("GET", "/nothing/here", 404, None),
    ("GET", "/v1/search/", 404, None),
    ("GET", "/v1/packages/hello/0.1.0", 404, None),
    ("POST", "/nothing/here", 405, "GET,HEAD"),
    ("GET", "/v1/packages/publish", 405, "POST"),
    ("POST", "/v1/packages/hello", 405, "GET,HEAD,PATCH"),
    ("POST", "/healthz", 405, "GET,HEAD"),
    ("PUT", "/index/he/ll/hello", 405, "GET,HEAD"),
    ("OPTIONS", "/healthz", 405, "GET,HEAD"),
]


async def test_unknown_paths_and_methods_are_json_errors(fs_registry: Registry) -> None:
    """Status and `allow` are those of the contract, in an ordinary error body."""
    for method, path, status, allow in UNKNOWN:
        answer = await fs_registry.http.request(method, path)
        assert (answer.status_code, answer.headers.get("allow")) == (status, allow), (method, path)
        assert list(answer.json()) == ["code", "message", "request_id"]
        assert answer.json()["request_id"] == answer.headers["x-request-id"]


async def test_bad_percent_encoding_is_400(fs_registry: Registry) -> None:
    """The decoded bytes are not UTF-8."""
    for path in ("/v1/packages/%ff", "/index/he/ll/%e0%80", "/v1/packages/%zz"):
        answer = await fs_registry.http.get(path)
        assert (answer.status_code, answer.json()["code"]) == (400, "X07REG_BAD_REQUEST"), path


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_every_answer_has_a_request_id_of_its_own(registry: Registry) -> None:
    """The client's own id is not used."""
    sent = {"x-request-id": "f" * 32}
    answers = [await registry.http.get(path, headers=sent) for path in ("/", "/", "/nope", "/index/he/ll/x")]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert len(set(ids)) == len(ids)
    assert all(REQUEST_ID.fullmatch(value) and value != sent["x-request-id"] for value in ids)


async def test_head_answers_like_get_without_a_body(registry: Registry) -> None:
    """Status, content type and length equal those of the GET, on both tiers."""
    await registry.publish(hello_archive(), await registry.add_publisher())
    for path in (
        "/",
        "/healthz",
        "/v1/packages/hello",
        "/index/he/ll/hello",
        "/v1/packages/hello/0.1.0/download",
    ):
        get, head = await registry.http.get(path), await registry.http.head(path)
        assert head.content == b""
        for name in ("content-type", "content-length", "etag", "cache-control"):
            assert head.headers.get(name) == get.headers.get(name), (path, name)


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_the_account_behind_a_token(registry: Registry) -> None:
    """GET /v1/account and POST /v1/auth/token work with any scope, and set last_used_at soon after."""
    headers = await registry.add_publisher("octo", "owner.manage")
    answer = await registry.http.get("/v1/account", headers=headers)
    assert list(answer.json()) == ["ok", "user_id", "handle", "token_id", "scopes"]
    assert (answer.json()["handle"], answer.json()["scopes"]) == ("octo", ["owner.manage"])
    checked = await registry.http.post("/v1/auth/token", headers=headers)
    assert checked.content == b'{"ok":true}'
    await registry.until_row("SELECT 1 FROM tokens WHERE last_used_at IS NOT NULL")


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_package_that_is_not_there(registry: Registry) -> None:
    """The name's rule is checked first, then 404."""
    assert (await registry.http.get("/v1/packages/Hello")).json()["code"] == "X07REG_INVALID_NAME"
    missing = await registry.http.get("/v1/packages/hello")
    assert (missing.status_code, missing.json()["code"]) == (404, "X07REG_NOT_FOUND")


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_cors_lists_origins_exactly(cors_registry: Registry) -> None:
    """As in section 1.5: credentials and Vary always, the origin only if it is listed."""
    for path in ("/", "/v1/account", "/index/he/ll/nope"):
        allowed = await cors_registry.http.get(path, headers={"origin": "https://web.example"})
        assert allowed.headers["access-control-allow-origin"] == "https://web.example"
        assert allowed.headers["access-control-allow-credentials"] == "true"
        assert "origin" in allowed.headers["vary"]
        refused = await cors_registry.http.get(path, headers={"origin": "https://WEB.example"})
        assert "access-control-allow-origin" not in refused.headers
    preflight = await cors_registry.http.options("/any/path", headers={"origin": "https://web.example"})
    assert (preflight.status_code, preflight.content) == (200, b"")
    assert preflight.headers["access-control-allow-methods"] == "GET,HEAD,OPTIONS,POST,DELETE"
    assert preflight.headers["access-control-allow-headers"] == "authorization,content-type,x-x07-csrf"


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_an_encoded_slash_ends_no_parameter(registry: Registry) -> None:
    """Routes are matched exactly as sent: `a%2Fb` is one bad name, and `/v1%2Fsearch` is unknown."""
    for path in ("a%2Fb", "a%2Fowners", "a%2Fb/owners", "a%2Fb/1.0.0/metadata"):
        answer = await registry.http.get(f"/v1/packages/{path}")
        assert (answer.status_code, answer.json()["code"]) == (400, "X07REG_INVALID_NAME"), path
    for path in ("/v1%2Fsearch", "/v1/packages%2Fa", "/v1/%73earch"):
        assert (await registry.http.get(path)).status_code == 404, path
    assert (await registry.http.get("/v1/packages/%61bc")).status_code == 404
