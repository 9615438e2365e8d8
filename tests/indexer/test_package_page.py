"""The package page in the published tree equals the write API's answer."""

from __future__ import annotations

from shared.blobs import package_key
from shared.names import PackageName
from tests.archives import hello_archive
from tests.indexer.upkeep.walks import body_of
from tests.stack import Registry, bearer

HELLO = PackageName("hello")


async def test_the_page_follows_versions_yanks_and_owners(registry: Registry) -> None:
    """They are equal, byte for byte, as soon as the change is answered, because it waits for publication."""
    alice = await registry.add_user("alice")
    headers = bearer(await registry.add_token(alice, "publish", "owner.manage"))
    await registry.add_user("bob")
    for version in ("0.1.0", "0.10.0", "0.2.0-rc.1"):
        assert (await registry.publish(hello_archive(version=version), headers)).status_code == 200
        await same_page(registry)
    yank = {"yanked": True}
    await registry.http.post("/v1/packages/hello/0.10.0/yank", json=yank, headers=headers)
    page = await same_page(registry)
    assert b'"latest_version":"0.2.0-rc.1"' in page
    await registry.http.post("/v1/packages/hello/owners", json={"handle": "bob"}, headers=headers)
    page = await same_page(registry)
    assert b'"owners":["alice","bob"]' in page
    await registry.http.delete("/v1/packages/hello/owners/alice", headers=headers)
    page = await same_page(registry)
    assert b'"owners":["bob"]' in page


async def same_page(registry: Registry) -> bytes:
    """The page in storage, after comparing it with the write API's answer."""
    answer = await registry.http.get("/v1/packages/hello")
    assert answer.status_code == 200
    assert await body_of(registry.storage, package_key(HELLO)) == answer.content
    return answer.content
