"""Reading the published tree over HTTP: paths, errors, headers, ranges, hosts (contract, 3 and 1.7)."""

from __future__ import annotations

import hashlib
from itertools import product

from tests.archives import hello_archive
from tests.stack import Registry

WRONG_PATHS = [
    ("/index/he/ll/nobody", 400, "X07REG_INDEX_PATH_INVALID"),
    ("/index/no/bo/nobody", 404, "X07REG_INDEX_NOT_FOUND"),
    ("/index/nobody", 400, "X07REG_INDEX_PATH_INVALID"),
    ("/index/he/ll/hello/", 400, "X07REG_INDEX_PATH_INVALID"),
    ("/index/He/ll/Hello", 400, "X07REG_INVALID_NAME"),
    ("/index/he/ll/hel%6Co", 404, "X07REG_INDEX_NOT_FOUND"),
    ("/index/%2e%2e/x", 400, "X07REG_INDEX_PATH_INVALID"),
    ("/index/he%5Cll/hello", 400, "X07REG_INDEX_PATH_INVALID"),
    ("/index/he/ll/hello%00", 400, "X07REG_INVALID_NAME"),
    ("/index/he/ll/hello%ff", 400, "X07REG_BAD_REQUEST"),
    ("/v1/packages/Hello/0.1.0/download", 400, "X07REG_INVALID_NAME"),
    ("/v1/packages/hello/one/download", 400, "X07REG_INVALID_VERSION"),
    ("/v1/packages/hello/9.9.9/download", 404, "X07REG_NOT_FOUND"),
    ("/v1/packages/hello/9.9.9/metadata", 404, "X07REG_NOT_FOUND"),
]


async def test_a_wrong_path_has_the_contracts_error(fs_registry: Registry) -> None:
    """Errors come in the order of section 3.1, before storage is asked, and are not cached."""
    for path, status, code in WRONG_PATHS:
        answer = await fs_registry.http.get(path)
        assert (answer.status_code, answer.json()["code"]) == (status, code), path
        assert "cache-control" not in answer.headers
        assert "etag" not in answer.headers


CACHED = [
    ("/index/config.json", "public, max-age=300", "application/json"),
    ("/index/catalog.json", "public, max-age=300", "application/json"),
    ("/index/he/ll/hello", "public, max-age=300", "application/x-ndjson"),
    ("/v1/packages/hello/0.1.0/metadata", "public, max-age=3600", "application/json"),
    (
        "/v1/packages/hello/0.1.0/download",
        "public, max-age=31536000, immutable",
        "application/octet-stream",
    ),
]


async def test_what_may_be_cached_says_for_how_long_and_its_etag_is_its_hash(registry: Registry) -> None:
    """As in section 1.7; a bearer token, even a revoked one, changes nothing."""
    await registry.publish(hello_archive(), await registry.add_publisher())
    await registry.until_in_catalog("hello", "0.1.0")
    for (path, cache_control, content_type), headers in product(
        CACHED, ({}, {"authorization": "Bearer revoked"})
    ):
        answer = await registry.http.get(path, headers={"accept-encoding": "identity", **headers})
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == cache_control
        assert answer.headers["content-type"] == content_type
        assert answer.headers["etag"] == f'"{hashlib.sha256(answer.content).hexdigest()}"'
        for tags in ("*", f'"x", W/{answer.headers["etag"]}'):
            again = await registry.http.get(
                path, headers={"accept-encoding": "identity", "if-none-match": tags}
            )
            assert again.status_code == 304
            assert again.headers["cache-control"] == cache_control
            assert "content-type" not in again.headers


async def test_an_archive_is_served_in_ranges(registry: Registry) -> None:
    """RFC 9110, 14: one range, from the end, unsatisfiable, unknown unit, and If-Range."""
    archive = hello_archive()
    await registry.publish(archive, await registry.add_publisher())
    path = "/v1/packages/hello/0.1.0/download"
    whole = await registry.http.get(path)
    assert whole.headers["accept-ranges"] == "bytes"
    size, etag = len(archive), whole.headers["etag"]
    for value, start, end in (
        ("bytes=0-99", 0, 100),
        ("bytes=100-", 100, size),
        ("bytes=-10", size - 10, size),
    ):
        part = await registry.http.get(path, headers={"range": value, "if-range": etag})
        assert part.status_code == 206
        assert part.content == archive[start:end]
        assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
    beyond = await registry.http.get(path, headers={"range": f"bytes={size}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{size}")
    for headers in ({"range": "lines=1-2"}, {"range": "bytes=0-9", "if-range": '"other"'}):
        assert (await registry.http.get(path, headers=headers)).content == archive


async def test_redirects_lead_to_the_catalog(fs_registry: Registry) -> None:
    """As in section 3.2 and the smoke check of 10.3: following the redirects gives the catalog."""
    for path, status, location in (("/index", 308, "/index/"), ("/index/", 307, "/index/catalog.json")):
        answer = await fs_registry.http.get(path)
        assert (answer.status_code, answer.headers["location"], answer.content) == (status, location, b"")
    await fs_registry.until_keys(["index/catalog.json", "index/config.json"])
    followed = await fs_registry.http.get("/index/?x07_refresh=1", follow_redirects=True)
    assert followed.json()["schema_version"] == "x07.index-catalog@0.1.0"


async def test_the_index_host_serves_the_index_from_its_root(fs_registry: Registry) -> None:
    """As in section 3.6, in any case and with a port; other routes are the same as on every host."""
    await fs_registry.until_configured()
    await fs_registry.publish(hello_archive(), await fs_registry.add_publisher())
    for host in ("index.x07.io", "INDEX.x07.io:8080"):
        at_root = await fs_registry.http.get("/he/ll/hello", headers={"host": host})
        assert at_root.content == (await fs_registry.http.get("/index/he/ll/hello")).content
        config = await fs_registry.http.get("/config.json", headers={"host": host})
        assert config.json()["sparse"] is True
        assert (await fs_registry.http.get("/", headers={"host": host})).json()["service"] == "x07-registry"
    assert (await fs_registry.http.get("/he/ll/hello")).status_code == 404


async def test_a_refresh_reads_past_the_cache(fs_registry: Registry) -> None:
    """An answer to `?x07_refresh=` is never older than storage; other queries are ignored."""
    await fs_registry.publish(hello_archive(), await fs_registry.add_publisher())
    path = "/index/he/ll/hello"
    first = await fs_registry.http.get(f"{path}?other=1")
    body = b"changed behind the cache\n"
    await fs_registry.storage.put(
        path[1:], body, content_type="text/plain", digest=hashlib.sha256(body).hexdigest()
    )
    assert (await fs_registry.http.get(path)).content == first.content
    assert (await fs_registry.http.get(f"{path}?x07_refresh=1760000000000")).content == body
