"""docs/backup.md, followed on both back ends: every command of the page runs as the page has it.

A dump and a copy of storage from different times, a lost database, lost storage, a standby that lagged.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio

from deploy.backup.programs import newest
from deploy.local.postgres import EmbeddedPostgres
from shared.settings import Settings
from shared.storage.interface import Storage
from shared.storage.opening import open_storage
from tests.archives import hello_archive
from tests.conftest import SIGNING, MakeSettings, command
from tests.deploy.commands import document, variables_of
from tests.deploy.forked_commands import run
from tests.deploy.page_walk import Guide
from tests.indexer.upkeep.walks import everything, kinds, overwrite, publish_all, settle
from tests.log.logs import LOGGING, read_log, sequence
from tests.stack import Registry, bearer, running_registry

TAKE = "Take one"
RESTORE = "Restore both"
RESTORE_LOCAL = "Restore a registry that `up` runs"  # test_local_commands.py follows it
NO_DATABASE = "The database is lost, storage is there"
NO_STORAGE = "Storage is lost, the database is there"
STANDBY = "A standby took over"
CHECK = "Test your backups"
NEW_DATABASE = "registry"
ADVISORY = {
    "kind": "security",
    "severity": "high",
    "summary": "Do not",
    "details": "why",
    "url": "https://x/",
}


@pytest_asyncio.fixture
async def registry(make_settings: MakeSettings) -> AsyncIterator[Registry]:
    """A signing registry with a log, three versions, a yank, an advisory and two owners; no worker runs."""
    settings = await make_settings(publish_wait_seconds=0, **SIGNING, **LOGGING)
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
        await sequence(running)
        running.http.headers.update(headers)
        yield running


@pytest_asyncio.fixture
async def elsewhere(
    registry: Registry, postgres: EmbeddedPostgres, tmp_path: Path
) -> AsyncIterator[Settings]:
    """Settings of a registry that is not there yet: a database that the page creates, and empty storage."""
    settings = registry.settings
    url = type(settings.database_url)(postgres.url_of(NEW_DATABASE))
    place = (
        {"data_dir": tmp_path / "restored"}
        if settings.stores_files
        else {"s3_prefix": f"{settings.s3_prefix.rstrip('/')}-restored/"}
    )
    yield settings.model_copy(update={"database_url": url, **place})
    await command(postgres.url, f"DROP DATABASE IF EXISTS {NEW_DATABASE} WITH (FORCE)")


@pytest.fixture
def guide_of(postgres: EmbeddedPostgres, tmp_path: Path) -> Callable[[Settings], Guide]:
    """Makes the page for its reader at a registry; `createdb` finds Postgres like its reader's."""
    (tmp_path / "backup").mkdir()
    [socket] = parse_qs(urlsplit(postgres.url).query)["host"]
    programs = f"{newest('pg_restore').parent}:{os.environ['PATH']}"

    def make(settings: Settings) -> Guide:
        places = {"/backup/": f"{tmp_path}/backup/"}
        exported = {"PGHOST": socket, "PGUSER": "postgres", "PATH": programs}
        return Guide("backup.md", variables_of(settings), tmp_path, places, **exported)

    return make


GuideOf = Callable[[Settings], Guide]


async def copy_all(source: Storage, settings: Settings) -> None:
    """Copy the bucket or folder by its own means, without any of our code."""
    target = await open_storage(settings)
    for key, body in (await everything(source)).items():
        await overwrite(target, key, body)
    await target.close()


async def succeed(guide: Guide, title: str, lines: slice = slice(None)) -> list[str]:
    """Follow lines of a section, which end with 0. Returns the last line that each prints."""
    answers = await guide.follow(guide.commands(title)[lines])
    assert {answer.returncode for answer in answers} == {0}, answers
    return [answer.stdout.rstrip().rpartition("\n")[2] for answer in answers]


def test_every_section_is_followed() -> None:
    """A new section needs a test."""
    titles = [TAKE, RESTORE, RESTORE_LOCAL, NO_DATABASE, NO_STORAGE, STANDBY, CHECK]
    assert Guide("backup.md", {}, Path()).left == titles


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
    await sequence(registry)


CAME_BACK = "1 advisory, {archives}3 owners, 2 versions, 1 withdrawal, 1 yank came back; 0 in doubt"


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


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_dump_and_a_later_copy_make_a_whole_registry(
    registry: Registry, elsewhere: Settings, guide_of: GuideOf, tmp_path: Path
) -> None:
    """Changes between the two are restored and reported; users and tokens are those of the dump."""
    await succeed(guide_of(registry.settings), TAKE)
    await change_everything(registry)
    before = await everything(registry.storage)
    await copy_all(registry.storage, elsewhere)
    guide = guide_of(elsewhere)
    told = await succeed(guide, RESTORE)
    assert told[2] == CAME_BACK.format(archives="")
    assert await succeed(guide, CHECK) == ["no difference"]
    async with running_registry(elsewhere, with_worker=False) as again:
        assert await sequence(again) == 0  # the log has every line already
        assert without_times(await everything(again.storage)) == without_times(before)
        assert await kinds(again, deep=True) == []
        assert (await again.http.get("/v1/account", headers=dict(registry.http.headers))).status_code == 200
        advisories = await again.rows("SELECT version, withdrawn_at FROM package_version_advisories")
        assert sorted((row.version, row.withdrawn_at is None) for row in advisories) == [
            ("0.1.0", False),
            ("0.2.0+b.1", True),
        ]


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_dump_and_a_mirror_make_a_whole_registry(
    registry: Registry, elsewhere: Settings, guide_of: GuideOf, tmp_path: Path
) -> None:
    """Storage is empty, so the two are all there is. Archives, rows and the log are restored."""
    guide = guide_of(registry.settings)
    backup, export = guide.commands(TAKE)
    await guide.follow([backup])
    await change_everything(registry)
    before, log = await published_tree(registry.storage), await read_log(registry.storage)
    assert [answer.returncode for answer in await guide.follow([export])] == [0]
    told = await succeed(guide_of(elsewhere), RESTORE)
    assert told[2] == CAME_BACK.format(archives="5 archives, ")
    async with running_registry(elsewhere, with_worker=False) as again:
        assert await sequence(again) == 0
        assert await read_log(again.storage) == log
        assert without_times(await published_tree(again.storage)) == without_times(before)
        assert await kinds(again, deep=True) == []
        answer = await again.publish(hello_archive(version="0.4.0"), dict(registry.http.headers))
        assert answer.status_code == 200, answer.text
    mirror = str(tmp_path / "backup" / "x07-mirror")
    status, report = document("rebuild-from-tree", "--from", mirror, **variables_of(elsewhere))
    assert (status, report["came_back"]) == (0, {})


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_mirror_is_newer_than_what_a_worker_put_too_early(
    registry: Registry, elsewhere: Settings, guide_of: GuideOf
) -> None:
    """Under `up`, a worker runs before the rows are restored from the mirror; it puts files of older rows."""
    guide = guide_of(registry.settings)
    backup, export = guide.commands(TAKE)
    await guide.follow([backup])
    await change_everything(registry)
    before = await published_tree(registry.storage)
    await guide.follow([export])
    restore = guide_of(elsewhere)
    lines = restore.commands(RESTORE)
    await restore.follow(lines[:2])
    assert run("reindex", **variables_of(elsewhere)).returncode == 0
    rebuilt, *others = await restore.follow(lines[2:])
    assert rebuilt.stdout.splitlines()[-1] == CAME_BACK.format(archives="5 archives, ")
    assert {answer.returncode for answer in (rebuilt, *others)} == {0}
    async with running_registry(elsewhere, with_worker=False) as again:
        assert without_times(await published_tree(again.storage)) == without_times(before)


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_nothing_is_changed_where_nothing_was_missing(registry: Registry) -> None:
    """No user and no generation changes, and the command says so."""
    before = await registry.rows("SELECT generation FROM index_state ORDER BY package_id")
    answer = run("rebuild-from-tree", **variables_of(registry.settings))
    assert (answer.returncode, answer.stdout) == (0, "nothing was missing; 0 in doubt\n")
    assert await registry.rows("SELECT 1 FROM users WHERE handle = 'rebuilt-from-tree'") == []
    assert await registry.rows("SELECT generation FROM index_state ORDER BY package_id") == before


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_an_acknowledged_publish_that_only_staging_has_is_told(
    registry: Registry, elsewhere: Settings, guide_of: GuideOf
) -> None:
    """It was acknowledged after the dump and not published before the copy; ask its publisher."""
    await succeed(guide_of(registry.settings), TAKE)
    assert (await registry.publish(hello_archive(version="0.3.0"), {})).status_code == 200
    await copy_all(registry.storage, elsewhere)
    await succeed(guide_of(elsewhere), RESTORE, slice(2))
    status, report = document("rebuild-from-tree", **variables_of(elsewhere))
    assert (status, report["in_doubt"]) == (1, 1)
    [finding] = report["findings"]
    assert (finding["state"], finding["thing"]) == ("in doubt", "upload")
    assert (finding["package"], finding["version"]) == ("hello", "0.3.0")


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_rows_that_are_newer_than_the_copy_are_told_and_mended_from_a_mirror(
    registry: Registry, elsewhere: Settings, tmp_path: Path
) -> None:
    """The copy is too old: a version is listed whose archive it does not have."""
    await copy_all(registry.storage, elsewhere)
    await registry.publish(hello_archive(version="0.3.0"), {})
    await settle(registry)
    before = await everything(registry.storage)
    restored = elsewhere.model_copy(update={"database_url": registry.settings.database_url})
    variables = variables_of(restored)
    status, report = document("repair", **variables)
    assert status == 1
    assert [item["key"] for item in report["findings"] if not item["mended"]] == ["dl/hello/0.3.0/download"]
    document("export", str(tmp_path / "mirror"), **variables_of(registry.settings))
    assert document("repair", "--from", str(tmp_path / "mirror"), **variables)[0] == 0
    storage = await open_storage(restored)
    assert await everything(storage) == before
    await storage.close()


LOST_OWNERS = [("hello", "alice"), ("hello", "carol"), ("hello-world", "alice")]


async def test_a_lost_database_is_rebuilt_from_the_tree(
    registry: Registry, elsewhere: Settings, guide_of: GuideOf
) -> None:
    """Readers get the same files, byte for byte; packages have no owners until somebody adds them."""
    query = "SELECT version, manifest, cksum, yanked FROM package_versions ORDER BY 1"
    before, manifests = await everything(registry.storage), await registry.rows(query)
    guide = guide_of(registry.settings.model_copy(update={"database_url": elsewhere.database_url}))
    *rebuild, create_token, add_owner = guide.commands(NO_DATABASE)
    answers = await guide.follow(rebuild)
    assert [answer.returncode for answer in answers] == [0, 0, 1, 0, 0, 0], answers
    told = answers[2].stdout.splitlines()
    assert told[-1] == "1 advisory, 3 versions came back; 3 in doubt"
    assert sorted(re.findall(r"^in doubt +owner of (\S+): (\S+)", answers[2].stdout, re.M)) == LOST_OWNERS
    restored = registry.settings.model_copy(update={"database_url": elsewhere.database_url})
    async with running_registry(restored, with_worker=False) as again:
        assert await sequence(again) == 0
        assert without_pages(await everything(again.storage)) == without_pages(before)
        assert await again.rows(query) == manifests
        await again.add_user("alice")
        guide.places["https://registry.example"] = again.url
        assert [answer.returncode for answer in await guide.follow([create_token, add_owner])] == [0, 0]
        owners = await again.rows("SELECT u.handle FROM package_owners o JOIN users u ON u.id = o.user_id")
        assert [owner.handle for owner in owners] == ["alice"]


async def test_a_standby_that_lagged_is_brought_up_to_date_by_storage(
    registry: Registry, elsewhere: Settings, guide_of: GuideOf
) -> None:
    """Doctor names the command; then the database has what was committed after the standby's last commit."""
    await succeed(guide_of(registry.settings), TAKE)
    await succeed(guide_of(elsewhere), RESTORE, slice(2))
    await change_everything(registry)
    standby = registry.settings.model_copy(update={"database_url": elsewhere.database_url})
    _, report = document("doctor", **variables_of(standby))
    [check] = [check for check in report["checks"] if check["check"] == "database against storage"]
    assert check["status"] == "failed"
    assert "x07-registry rebuild-from-tree" in check["mend"]
    assert (await succeed(guide_of(standby), STANDBY))[0] == CAME_BACK.format(archives="")
    async with running_registry(standby, with_worker=False) as again:
        await settle(again)  # like the workers, which run
        assert await sequence(again) == 0
        assert await kinds(again, deep=True) == []


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_tree_that_is_damaged_is_rebuilt_as_far_as_it_goes(
    registry: Registry, elsewhere: Settings, guide_of: GuideOf
) -> None:
    """A lost archive costs the manifest's unknown keys, a damaged index file its package."""
    await registry.storage.delete("dl/hello/0.1.0/download")
    await overwrite(registry.storage, "index/he/ll/hello-world", b"{not json\n")
    restored = registry.settings.model_copy(update={"database_url": elsewhere.database_url})
    await succeed(guide_of(restored), NO_DATABASE, slice(2))
    status, report = document("rebuild-from-tree", **variables_of(restored))
    assert status == 1
    doubts = [item for item in report["findings"] if item["state"] == "in doubt" and item["thing"] != "owner"]
    assert sorted((item["thing"], item["package"], item.get("version")) for item in doubts) == [
        ("archive", "hello", "0.1.0"),
        ("package", "hello-world", None),
    ]
    async with running_registry(restored, with_worker=False) as again:
        rows = await again.rows("SELECT version, manifest->>'name' AS name FROM package_versions ORDER BY 1")
        assert [tuple(row) for row in rows] == [("0.1.0", "hello"), ("0.2.0+b.1", "hello")]


async def test_lost_storage_comes_back_from_a_mirror(
    registry: Registry, elsewhere: Settings, guide_of: GuideOf
) -> None:
    """Archives come from the mirror, all other files from the rows."""
    before = await everything(registry.storage)
    await succeed(guide_of(registry.settings), TAKE)
    restored = elsewhere.model_copy(update={"database_url": registry.settings.database_url})
    await succeed(guide_of(restored), NO_STORAGE)
    storage = await open_storage(restored)
    assert await everything(storage) == before
    await storage.close()
