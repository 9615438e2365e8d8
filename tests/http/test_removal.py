"""A version removed for legal reasons disappears from every file permanently."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from api.write.app import open_services
from api.write.archive.check import check_archive
from api.write.principal import Principal
from api.write.publish_commit import Acceptance, Candidate
from api.write.removal import remove_version
from indexer.publication import publish_package
from shared.blobs import new_upload_id
from shared.errors import Forbidden, NotFound
from shared.publish_errors import AlreadyPublished
from tests.archives import hello_archive
from tests.indexer.upkeep.walks import kinds
from tests.stack import Registry, eventually
from worker.process import open_parts

REASON = "court order 12/2026"
WAS_REMOVED = 'version "0.2.0" of package "hello" was removed'


async def remove(registry: Registry, version: str, *scopes: str, user_id: Any) -> bool:
    """Remove a version of hello, like an operator's command."""
    async with open_services(registry.settings) as services:
        caller = Principal(user_id, "admin", None, scopes, email_verified=True)
        return await remove_version(services, caller, "hello", version, REASON)


async def is_gone(registry: Registry, path: str) -> bool:
    """True if readers get 404."""
    return (await registry.http.get(path)).status_code == 404


async def everyone_is_told(registry: Registry, owner: dict[str, str]) -> None:
    """A reader, and an owner who changes the version, learn that it was removed."""
    path = "/v1/packages/hello/0.2.0"
    advisory = {"kind": "security", "severity": "high", "summary": "Do not use."}
    evidence = {"evidence_ref": "https://x07.io/evidence/hello.json"}
    answers = [
        *[await registry.http.get(f"{path}/{page}") for page in ("download", "metadata", "advisories")],
        await registry.http.get(f"{path.replace('/v1/packages', '/dl')}/download"),
        await registry.http.post(f"{path}/yank", headers=owner, json={"yanked": True}),
        await registry.http.post(f"{path}/advisories", headers=owner, json=advisory),
        await registry.http.post(
            "/v1/packs/hello/versions/0.2.0/scale-evidence", headers=owner, json=evidence
        ),
    ]
    for answer in answers:
        told = (answer.status_code, answer.json()["code"], answer.json()["message"])
        assert told == (404, "X07REG_NOT_FOUND", WAS_REMOVED), answer.url


async def test_a_removed_version_leaves_the_tree_and_its_place_stays_taken(registry: Registry) -> None:
    """Archive, metadata, index line and staged bytes are deleted; the other version is unchanged."""
    publisher = await registry.add_publisher("alice", "publish", "owner.manage")
    admin = await registry.add_user("admin")
    first, second = hello_archive(version="0.1.0"), hello_archive(version="0.2.0")
    for archive in (first, second):
        assert (await registry.publish(archive, publisher)).status_code == 200
    await registry.until_in_catalog("hello", "0.2.0")
    # Readers have both in their caches.
    for document in ("download", "metadata"):
        assert (await registry.http.get(f"/v1/packages/hello/0.2.0/{document}")).status_code == 200
    assert await remove(registry, "0.2.0", "admin", user_id=admin)
    for document in ("download", "metadata"):
        await eventually(lambda document=document: is_gone(registry, f"/v1/packages/hello/0.2.0/{document}"))
    lines = (await registry.http.get("/index/he/ll/hello?x07_refresh=1")).text.splitlines()
    assert len(lines) == 1
    assert '"version":"0.1.0"' in lines[0]
    assert (await registry.http.get("/v1/packages/hello/0.1.0/download")).content == first
    await registry.until_in_catalog("hello", "0.1.0")
    assert "0.2.0" not in " ".join(await registry.keys())
    assert await registry.keys("staging/") == []
    assert await kinds(registry, deep=True) == []
    for archive in (second, hello_archive(version="0.2.0", description="Other bytes.")):
        refused = await registry.publish(archive, publisher)
        assert (refused.status_code, refused.json()["code"]) == (409, "X07REG_ALREADY_PUBLISHED")
        assert (
            refused.json()["message"]
            == f"{WAS_REMOVED}, and no archive can be published as this version again"
        )
    await everyone_is_told(registry, publisher)
    event = (await registry.rows("SELECT * FROM audit_events WHERE action = 'version_removed'"))[0]
    assert (event.actor_user_id, event.package_name, event.package_version) == (admin, "hello", "0.2.0")
    assert event.details == {"reason": REASON, "cksum": hashlib.sha256(second).hexdigest()}


async def test_a_publish_that_loses_to_a_publish_and_a_removal_is_told_of_both(
    fs_registry: Registry, tmp_path: Path
) -> None:
    """The version was free when it was asked about, and has come and gone when it is to be committed."""
    registry, archive = fs_registry, hello_archive(version="0.2.0")
    publisher = await registry.add_publisher("alice")
    admin = await registry.add_user("admin")
    [alice] = await registry.rows("SELECT id FROM users WHERE handle = 'alice'")
    (upload := tmp_path / "upload").write_bytes(archive)
    checked = check_archive(upload, allowed_hosts=[], allowed_buckets=[])
    caller = Principal(alice.id, "alice", None, ("publish",), email_verified=True)
    candidate = Candidate(caller, checked, hashlib.sha256(archive).hexdigest(), new_upload_id())
    commit = Acceptance(registry.settings, registry.database)
    asked = await commit.ask(candidate)
    assert (await registry.publish(archive, publisher)).status_code == 200
    await remove(registry, "0.2.0", "admin", user_id=admin)
    with pytest.raises(AlreadyPublished, match=WAS_REMOVED):
        await commit.accept(candidate, asked)
    await commit.close()


async def test_a_package_keeps_its_name_when_its_last_version_is_removed(fs_registry: Registry) -> None:
    """It is listed without a latest version, has a page, and its owner may publish a new one."""
    publisher = await fs_registry.add_publisher("alice", "publish", "owner.manage")
    admin = await fs_registry.add_user("admin")
    assert (await fs_registry.publish(hello_archive(), publisher)).status_code == 200
    assert await remove(fs_registry, "0.1.0", "admin", user_id=admin)
    await eventually(lambda: is_gone(fs_registry, "/index/he/ll/hello?x07_refresh=1"))
    await fs_registry.until_keys(["dl/hello/package", "index/catalog.json", "index/config.json"])
    page = (await fs_registry.http.get("/v1/packages/hello")).json()
    assert (page["latest_version"], page["owners"], page["versions"]) == (None, ["alice"], [])
    assert await fs_registry.until_in_catalog("hello", None) == {"name": "hello", "is_official": False}
    assert (await fs_registry.publish(hello_archive(version="0.1.1"), publisher)).status_code == 200


async def test_a_version_that_waits_in_staging_is_removed_too(workerless_registry: Registry) -> None:
    """Its bytes do not wait for garbage collection, and a second publication does no harm."""
    publisher = await workerless_registry.add_publisher()
    admin = await workerless_registry.add_user("admin")
    assert (await workerless_registry.publish(hello_archive(), publisher)).status_code == 200
    assert not await remove(workerless_registry, "0.1.0", "admin", user_id=admin)
    refused = await workerless_registry.publish(hello_archive(), publisher)
    assert refused.status_code == 409
    async with open_parts(workerless_registry.settings) as parts:
        for _ in range(2):
            await publish_package(parts, "hello")
    assert await workerless_registry.keys() == ["dl/hello/package"]


async def test_what_is_not_there_or_not_ones_own_is_not_removed(fs_registry: Registry) -> None:
    """The rules for all changes of a package apply."""
    publisher = await fs_registry.add_publisher()
    stranger = await fs_registry.add_user("mallory")
    with pytest.raises(NotFound):
        await remove(fs_registry, "0.1.0", "admin", user_id=stranger)
    assert (await fs_registry.publish(hello_archive(), publisher)).status_code == 200
    with pytest.raises(NotFound):
        await remove(fs_registry, "0.9.0", "admin", user_id=stranger)
    with pytest.raises(Forbidden):
        await remove(fs_registry, "0.1.0", user_id=stranger)
    assert (await fs_registry.http.get("/v1/packages/hello/0.1.0/download")).status_code == 200
