"""Which path names which file, and which paths are refused with which code (contract, 1.2 and 3.1 to 3.6)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from shared.blobs import CATALOG_KEY, CONFIG_KEY, index_key
from shared.names import PackageName
from tests.api.read.http.reading import BODIES, INDEX_KEY, Reading, sent_as

PATH_INVALID = (400, "X07REG_INDEX_PATH_INVALID")
NAME_INVALID = (400, "X07REG_INVALID_NAME")
VERSION_INVALID = (400, "X07REG_INVALID_VERSION")
BAD_REQUEST = (400, "X07REG_BAD_REQUEST")
NO_INDEX = (404, "X07REG_INDEX_NOT_FOUND")
NOT_FOUND = (404, "X07REG_NOT_FOUND")

REFUSED = [
    ("/index/he/ll/absent", PATH_INVALID),
    ("/index/ab/se/absent", NO_INDEX),
    ("/index/1/a", NO_INDEX),
    ("/index/2/ab", NO_INDEX),
    ("/index/3/a/abc", NO_INDEX),
    ("/index/hello", PATH_INVALID),
    ("/index/he/hello", PATH_INVALID),
    ("/index/HE/LL/hello", PATH_INVALID),
    ("/index/he/ll/Hello", NAME_INVALID),
    ("/index/he/ll/hello/", PATH_INVALID),
    ("/index/he/ll/", PATH_INVALID),
    ("/index//he/ll/hello", PATH_INVALID),
    ("/index/./he/ll/hello", PATH_INVALID),
    ("/index/he/ll/../ll/hello", PATH_INVALID),
    ("/index/%2e%2e/config.json", PATH_INVALID),
    ("/index/..%2fdl/hello/0.1.0/download", PATH_INVALID),
    ("/index/he%5cll%5chello", PATH_INVALID),
    ("/index/he/ll/he..llo", PATH_INVALID),
    ("/index/he/ll/hello%00", NAME_INVALID),
    ("/index/he/ll/%C3%A9", NAME_INVALID),
    ("/index/he/ll/hello.json", NAME_INVALID),
    ("/index/he/ll/hello.gz", NAME_INVALID),
    ("/index/catalog.json/", PATH_INVALID),
    ("/index/he/ll/config.json", NAME_INVALID),
    ("/index/he/ll/%ff", BAD_REQUEST),
    ("/index/he/ll/%zz", BAD_REQUEST),
    ("/index/he/ll/%", BAD_REQUEST),
    ("/index/%e0%80", BAD_REQUEST),
    (f"/index/{'a' * 2}/{'a' * 2}/{'a' * 5000}", NO_INDEX),
    ("/v1/packages/Hello/0.1.0/download", NAME_INVALID),
    ("/v1/packages/he%2Fllo/0.1.0/download", NAME_INVALID),
    ("/v1/packages/%2e%2e/0.1.0/download", NAME_INVALID),
    ("/v1/packages/Hello/x/metadata", NAME_INVALID),
    ("/v1/packages/hello/x/download", VERSION_INVALID),
    ("/v1/packages/hello/v0.1.0/download", VERSION_INVALID),
    ("/v1/packages/hello/0.1/metadata", VERSION_INVALID),
    ("/v1/packages/hello/00.1.0/metadata", VERSION_INVALID),
    ("/v1/packages/hello/0.1.0%2F../download", VERSION_INVALID),
    ("/v1/packages/hello/0.1.0%00/download", VERSION_INVALID),
    ("/v1/packages/hello/%ff/download", BAD_REQUEST),
    ("/v1/packages/%zz/0.1.0/download", BAD_REQUEST),
    ("/v1/packages/hello/0.1.1/download", NOT_FOUND),
    ("/v1/packages/absent/0.1.0/metadata", NOT_FOUND),
    ("/v1/packages/hello/0.1.0/download/", NOT_FOUND),
    ("/v1/packages/hello/0.1.0%2Fdownload", NOT_FOUND),
    ("/v1/packages/hello/0.1.0", NOT_FOUND),
    ("/v1/packages//0.1.0/download", NOT_FOUND),
    ("/%69ndex/config.json", NOT_FOUND),
    ("/config.json", NOT_FOUND),
    ("/catalog.json", NOT_FOUND),
    ("/he/ll/hello", NOT_FOUND),
    ("/dl/hello/0.1.0/archive", NOT_FOUND),
    ("/staging/x", NOT_FOUND),
    ("/nope", NOT_FOUND),
    ("/%zz", BAD_REQUEST),
]


@pytest.mark.parametrize(("raw", "expected"), REFUSED)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_wrong_path_is_refused_with_its_code(
    fs_tier: Reading, raw: str, expected: tuple[int, str], method: str
) -> None:
    """Errors are raised in the order of section 3.1, and the id in the body equals the header's."""
    answer = await fs_tier.http.request(method, **sent_as(raw))
    assert answer.status_code == expected[0]
    assert answer.headers["content-type"] == "application/json"
    if method == "GET":
        error = answer.json()
        assert list(error) == ["code", "message", "request_id"]
        assert (error["code"], error["request_id"]) == (expected[1], answer.headers["x-request-id"])


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        ("/index/he/ll/hello", INDEX_KEY),
        ("/index/%68e/ll/h%65llo", INDEX_KEY),
        ("/index/he%2Fll%2fhello", INDEX_KEY),
        ("/index/catalog.json", CATALOG_KEY),
        ("/index/he/ll/hello?x07_refresh=1732460000000", INDEX_KEY),
        ("/index/he/ll/hello?x07_refresh", INDEX_KEY),
        ("/index/he/ll/hello?%zz&a=%ff&=&&b", INDEX_KEY),
        ("/index/config.json?anything=at&all", CONFIG_KEY),
        ("/v1/packages/%68ello/0.1.0/download?x=1", "dl/hello/0.1.0/download"),
    ],
)
async def test_paths_are_decoded_and_unknown_parameters_ignored(fs_tier: Reading, raw: str, key: str) -> None:
    """The path below /index/ is decoded before its shard is compared."""
    answer = await fs_tier.http.get(**sent_as(raw))
    assert (answer.status_code, answer.content) == (200, BODIES[key])


async def test_versions_with_build_metadata_are_literal(fs_tier: Reading) -> None:
    """A plus is a plus, encoded or not."""
    await fs_tier.put("dl/hello/1.0.0+b.1/download", b"with build metadata")
    for version in ("1.0.0+b.1", "1.0.0%2Bb.1"):
        answer = await fs_tier.http.get(**sent_as(f"/v1/packages/hello/{version}/download"))
        assert answer.content == b"with build metadata"


@pytest.mark.parametrize(
    ("path", "status", "location"), [("/index", 308, "/index/"), ("/index/", 307, "/index/catalog.json")]
)
async def test_the_index_redirects_to_the_catalog(
    fs_tier: Reading, path: str, status: int, location: str
) -> None:
    """Relative locations, empty bodies, nothing to cache (3.2)."""
    answer = await fs_tier.http.get(path)
    assert (answer.status_code, answer.headers["location"], answer.content) == (status, location, b"")
    assert not {"etag", "cache-control", "content-type"} & set(answer.headers)
    followed = await fs_tier.http.get(path, follow_redirects=True)
    assert followed.content == BODIES[CATALOG_KEY]


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/index/he/ll/hello", "/index", "/v1/packages/hello/0.1.0/download", "/nope"]
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_other_methods_are_405(fs_tier: Reading, path: str, method: str) -> None:
    """The answer lists the allowed methods, joined without spaces."""
    answer = await fs_tier.http.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET,HEAD")
    assert answer.json()["code"] == "X07REG_METHOD_NOT_ALLOWED"


async def test_the_service_tells_of_itself(fs_tier: Reading) -> None:
    """The service document, health, and readiness with the latency of storage."""
    root = await fs_tier.http.get("/")
    assert root.json()["service"] == "x07-registry"
    assert root.headers["content-type"] == "application/json"
    health = await fs_tier.http.get("/healthz")
    assert (health.text, health.headers["content-type"]) == ("ok", "text/plain; charset=utf-8")
    ready = await fs_tier.http.get("/readyz")
    assert (ready.status_code, ready.json()["ok"]) == (200, True)
    assert ready.json()["dependencies"]["storage"]["latency_ms"] >= 0


@pytest.mark.parametrize("host", ["index.x07.io", "INDEX.x07.IO", "index.x07.io:8443", "index.x07.io:"])
@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/config.json", CONFIG_KEY),
        ("/catalog.json", CATALOG_KEY),
        ("/he/ll/hello", INDEX_KEY),
        ("/index/he/ll/hello", INDEX_KEY),
    ],
)
async def test_the_index_host_serves_the_index_from_its_root(
    fs_tier: Reading, host: str, path: str, key: str
) -> None:
    """Body and headers are the same as below /index/ (3.6)."""
    answer = await fs_tier.http.get(path, headers={"host": host})
    plain = await fs_tier.http.get(f"/{key}")
    assert (answer.status_code, answer.content) == (200, BODIES[key])
    for name in ("etag", "cache-control", "content-type"):
        assert answer.headers[name] == plain.headers[name]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("/he/ll/absent", PATH_INVALID),
        ("/ab/se/absent", NO_INDEX),
        ("/%68e/ll/hello", PATH_INVALID),
        ("/he/ll/%68ello", NAME_INVALID),
        ("/%2e%2e/config.json", NAME_INVALID),
        ("/he/ll/hello/", PATH_INVALID),
        ("/%zz", NAME_INVALID),
        ("/v1/packages/hello", NOT_FOUND),
        ("/v1/packages/hello/x/download", VERSION_INVALID),
    ],
)
async def test_the_root_of_the_index_host_is_not_decoded(
    fs_tier: Reading, raw: str, expected: tuple[int, str]
) -> None:
    """Errors are those of the index, and the API keeps its own paths."""
    answer = await fs_tier.http.get(**sent_as(raw), headers={"host": "index.x07.io"})
    assert (answer.status_code, answer.json()["code"]) == expected


async def test_a_package_that_looks_like_the_api_is_served_from_the_root_too(fs_tier: Reading) -> None:
    """The shard of `v1ab` begins with `v1/`."""
    await fs_tier.put(index_key(PackageName("v1ab")), b"{}\n")
    answer = await fs_tier.http.get("/v1/ab/v1ab", headers={"host": "index.x07.io"})
    assert (answer.status_code, answer.content) == (200, b"{}\n")
    assert (await fs_tier.http.get("/v1/ab/v1ab")).status_code == 404


@pytest.mark.parametrize("host", ["index.x07.io.example", "x07.io", "127.0.0.1", "index.x07.io.:80"])
async def test_other_hosts_have_no_index_at_their_root(fs_tier: Reading, host: str) -> None:
    """Only the configured host has it."""
    assert (await fs_tier.http.get("/config.json", headers={"host": host})).status_code == 404


@pytest.mark.parametrize(
    ("raw_path", "host", "is_ours"),
    [
        ("/index", "a.example", True),
        ("/index/", "a.example", True),
        ("/index/he/ll/hello", "a.example", True),
        ("/index/%zz", "a.example", True),
        ("/indexes", "a.example", False),
        ("/v1/packages/hello/0.1.0/download", "a.example", True),
        ("/v1/packages/Bad/x/metadata", "a.example", True),
        ("/v1/packages/hello/0.1.0/yank", "a.example", False),
        ("/v1/packages/hello/owners/download", "a.example", False),
        ("/v1/packages/hello", "a.example", True),
        ("/", "index.x07.io", False),
        ("/healthz", "index.x07.io", False),
        ("/readyz", "index.x07.io", False),
        ("/openapi/openapi.json", "index.x07.io", False),
        ("/v1/search", "index.x07.io", False),
        ("/v1/ab/v1ab", "index.x07.io", True),
        ("/config.json", "index.x07.io", True),
        ("/config.json", "a.example", False),
        ("/he/ll/hello", "INDEX.X07.IO:443", True),
        ("/nope", "a.example", False),
    ],
)
async def test_both_tiers_can_share_an_address(
    fs_tier: Reading, raw_path: str, host: str, is_ours: bool
) -> None:
    """The write API gets every request that is not for the read tier."""
    scope: dict[str, Any] = {
        "method": "GET",
        "raw_path": raw_path.encode(),
        "headers": [(b"host", host.encode())],
    }
    assert fs_tier.service.handles(scope) is is_ours
    if raw_path == "/v1/packages/hello":  # where the package is changed, too
        assert fs_tier.service.handles({**scope, "method": "POST"}) is False


async def test_no_wrong_path_reaches_storage(fs_tier: Reading) -> None:
    """Names and versions are checked first, so that invalid requests cost no read of storage."""
    before = list(fs_tier.watched.reads)
    wrong = [raw for raw, (status, _) in REFUSED if status == 400]
    await asyncio.gather(*(fs_tier.http.get(**sent_as(raw)) for raw in wrong))
    assert fs_tier.watched.reads == before
