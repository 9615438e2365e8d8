"""Package pages, owners and advisories are static: served from storage, without a database."""

from __future__ import annotations

import hashlib

import httpx
from pydantic import SecretStr

from api.read.fast_path import FastProtocol
from deploy.asgi import build_read_app, build_write_app
from shared.http.guarded_protocol import GuardedProtocol
from tests.archives import hello_archive
from tests.stack import Registry, serving

PAGE = "/v1/packages/hello"
OWNERS = "/v1/packages/hello/owners"
WARNED, UNWARNED = "/v1/packages/hello/0.1.0/advisories", "/v1/packages/hello/0.2.0/advisories"
DOCUMENTS = (PAGE, OWNERS, WARNED, UNWARNED)
UNKNOWN = ("/v1/packages/nothing", "/v1/packages/nothing/owners", "/v1/packages/hello/9.0.0/advisories")
NOWHERE = SecretStr("postgresql://nobody@127.0.0.1:1/nothing")
ADVISORY = {"kind": "broken", "severity": "high", "summary": "Does not start."}


async def warned(registry: Registry) -> dict[str, str]:
    """Headers of the owner of a package with two versions, one of which has an advisory."""
    alice = await registry.add_publisher("alice", "publish", "owner.manage")
    for version in ("0.1.0", "0.2.0"):
        assert (await registry.publish(hello_archive(version=version), alice)).status_code == 200
    answer = await registry.http.post(WARNED, json=ADVISORY, headers=alice)
    assert (answer.status_code, answer.headers["x-x07-index-published"]) == (200, "true")
    return alice


async def test_each_tier_serves_the_same_documents_without_a_database(registry: Registry) -> None:
    """Bytes, validators, HEAD and 304 are the same; who has none of it gets the same 404."""
    await warned(registry)
    settings = registry.settings.model_copy(update={"database_url": NOWHERE})
    expected = {path: await registry.http.get(path) for path in DOCUMENTS}
    assert expected[OWNERS].content == b'{"ok":true,"name":"hello","is_official":false,"owners":["alice"]}'
    assert expected[UNWARNED].content == b'{"ok":true,"name":"hello","version":"0.2.0","advisories":[]}'
    assert expected[WARNED].json()["advisories"][0]["summary"] == ADVISORY["summary"]
    tiers = ((build_read_app, FastProtocol), (build_write_app, GuardedProtocol))
    for build, protocol in tiers:
        async with (
            serving(build(settings), protocol) as url,
            httpx.AsyncClient(base_url=url, timeout=60) as http,
        ):
            for path, first in expected.items():
                await is_the_same(http, path, first)
            for path in UNKNOWN:
                missing = await http.get(path)
                assert (missing.status_code, missing.json()["code"]) == (404, "X07REG_NOT_FOUND")
                assert "cache-control" not in missing.headers


async def is_the_same(http: httpx.AsyncClient, path: str, first: httpx.Response) -> None:
    """Fails unless the document is served as it was first, also from memory, to HEAD and to who has it."""
    etag = f'"{hashlib.sha256(first.content).hexdigest()}"'
    for _ in range(2):
        answer = await http.get(path)
        assert (answer.status_code, answer.content) == (200, first.content)
        assert (answer.headers["etag"], answer.headers["cache-control"]) == (etag, "no-cache")
        assert answer.headers["content-type"] == "application/json"
    head = await http.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert (head.headers["etag"], head.headers["content-length"]) == (etag, str(len(first.content)))
    known = await http.get(path, headers={"if-none-match": etag})
    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", etag)


async def test_a_change_is_in_the_next_answer(registry: Registry) -> None:
    """Owners, yanks, advisories and withdrawals: each waits until readers see it."""
    alice = await warned(registry)
    await registry.add_user("bob")
    http = registry.http
    for path in DOCUMENTS:  # from now on they are in memory
        assert (await http.get(path)).status_code == 200
    await http.post(OWNERS, json={"handle": "bob"}, headers=alice)
    assert (await http.get(OWNERS)).json()["owners"] == ["alice", "bob"]
    await http.post("/v1/packages/hello/0.2.0/yank", json={"yanked": True}, headers=alice)
    assert (await http.get(PAGE)).json()["latest_version"] == "0.1.0"
    made = await http.post(UNWARNED, json=ADVISORY, headers=alice)
    advisory = made.json()["advisory"]
    assert (await http.get(UNWARNED)).json()["advisories"] == [advisory]
    withdrawn = await http.post(f"{UNWARNED}/{advisory['id']}/withdraw", headers=alice)
    assert (await http.get(UNWARNED)).json()["advisories"] == [withdrawn.json()["advisory"]]


async def test_other_methods_name_those_that_are_allowed(fs_registry: Registry) -> None:
    """Both tiers know the paths; the answer is the whole truth."""
    allowed = {PAGE: "GET,HEAD,PATCH", OWNERS: "GET,HEAD,POST", WARNED: "GET,HEAD,POST"}
    for path, methods in allowed.items():
        answer = await fs_registry.http.put(path)
        assert (answer.status_code, answer.headers["allow"]) == (405, methods)
