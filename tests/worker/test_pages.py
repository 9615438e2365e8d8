"""The worker renders pages behind publications: of what is visible, and one package stops no other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from indexer import version_memory
from indexer.pages import publication as page_publication
from indexer.pages import version_pages
from indexer.pages.archive_files import Listing
from indexer.pages.edition import begin_edition
from indexer.pages.publication import publish_pages
from indexer.parts import Parts
from indexer.publication import publish_package
from indexer.rows import PackageRow, VersionRow
from shared.names import PackageName
from shared.pages.site import Site
from shared.storage.interface import Storage
from tests.archives import hello_archive
from tests.conftest import MakeSettings
from tests.http.test_removal import remove
from tests.indexer.upkeep.walks import body_of
from tests.stack import Registry, running_registry
from worker.page_debounce import PageDebounce
from worker.process import open_parts

PAGE = "pages/packages/hello/index.html"
ROBOTS = "pages/robots.txt"


@pytest_asyncio.fixture
async def quiet(make_settings: MakeSettings) -> AsyncIterator[Registry]:
    """A registry with pages on each back end, whose worker is the test."""
    settings = await make_settings(pages="on", publish_wait_seconds=0)
    async with running_registry(settings, with_worker=False) as running:
        yield running


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_pages_show_what_is_visible_and_nothing_else(quiet: Registry) -> None:
    """A version that readers do not see yet has no page, and its package none that names it."""
    alice = await quiet.add_publisher()
    hello = PackageName("hello")
    async with open_parts(quiet.settings) as parts:
        await quiet.publish(hello_archive(), alice)
        assert await publish_pages(parts)
        assert PAGE not in await quiet.keys("pages/")
        await publish_package(parts, hello)
        await quiet.publish(hello_archive(version="0.2.0"), alice)
        assert await publish_pages(parts)
        assert PAGE not in await quiet.keys("pages/")
        await publish_package(parts, hello)
        assert await publish_pages(parts)
        keys = await quiet.keys("pages/packages/hello/")
        assert [key for key in keys if key.endswith(".html")] == [
            "pages/packages/hello/0.1.0/files/index.html",
            "pages/packages/hello/0.1.0/index.html",
            "pages/packages/hello/0.2.0/files/index.html",
            "pages/packages/hello/0.2.0/index.html",
            PAGE,
        ]
        before = await quiet.storage.head(PAGE)
        await begin_edition(parts)
        assert await publish_pages(parts)
        after = await quiet.storage.head(PAGE)
        assert before is not None
        assert after is not None
        assert after.revision == before.revision  # the same bytes are not put again


async def test_an_archive_is_read_when_the_page_of_its_version_changes_and_never_else(
    quiet: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package gets many versions, and archives may be large."""
    read: list[str] = []
    listing = version_pages._listing

    async def counted(storage: Storage, key: str) -> Listing | None:
        read.append(key)
        return await listing(storage, key)

    monkeypatch.setattr(version_pages, "_listing", counted)
    alice = await quiet.add_publisher()
    async with open_parts(quiet.settings) as parts:
        for version in ("0.1.0", "0.2.0"):
            await quiet.publish(hello_archive(version=version), alice)
            await publish_package(parts, PackageName("hello"))
            assert await publish_pages(parts)
        await begin_edition(parts)
        assert await publish_pages(parts)
    assert read == ["dl/hello/0.1.0/download", "dl/hello/0.2.0/download"]


async def test_a_removed_version_loses_its_pages(quiet: Registry) -> None:
    """Its text may be the reason of the removal."""
    alice = await quiet.add_publisher()
    admin = await quiet.add_user("admin")
    async with open_parts(quiet.settings) as parts:
        for version in ("0.1.0", "0.2.0"):
            await quiet.publish(hello_archive(version=version), alice)
        await publish_package(parts, PackageName("hello"))
        assert await publish_pages(parts)
        await remove(quiet, "0.1.0", "admin", user_id=admin)
        await publish_package(parts, PackageName("hello"))
        assert await publish_pages(parts)
    keys = await quiet.keys("pages/packages/hello/")
    assert "pages/packages/hello/0.2.0/files/index.html" in keys
    assert not any("0.1.0" in key for key in keys)
    for key in (PAGE, "pages/packages/hello/versions.atom"):
        assert b"0.1.0" not in await body_of(quiet.storage, key)


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_pages_left_out_while_they_were_off_are_rendered_when_a_worker_starts(
    quiet: Registry,
) -> None:
    """So are those of packages that a worker of an older release published."""
    async with open_parts(quiet.settings.model_copy(update={"pages": "off"})) as parts:
        await quiet.publish(hello_archive(), await quiet.add_publisher())
        await publish_package(parts, PackageName("hello"))
    async with open_parts(quiet.settings) as parts:
        assert await publish_pages(parts)
        assert PAGE not in await quiet.keys("pages/")
        await begin_edition(parts)
        assert await publish_pages(parts)
    assert PAGE in await quiet.keys("pages/")


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_package_whose_pages_cannot_be_made_stops_no_other(
    quiet: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is logged and left out; the next publish of the package tries again."""
    alice = await quiet.add_publisher()
    good = page_publication.render_package_html

    def render(site: Site, package: PackageRow, *others: Any) -> bytes:
        if package.name == "bad":
            raise RuntimeError("a template that does not know this row")
        return good(site, package, *others)

    monkeypatch.setattr(page_publication, "render_package_html", render)
    async with open_parts(quiet.settings) as parts:
        for name in ("bad", "hello"):
            await quiet.publish(hello_archive(name), alice)
            await publish_package(parts, PackageName(name))
        assert await publish_pages(parts)
    keys = await quiet.keys("pages/packages/")
    assert PAGE in keys
    assert "pages/packages/bad/index.html" not in keys


async def test_a_package_that_becomes_private_loses_its_pages(quiet: Registry) -> None:
    """Pages are for everybody, so nothing of a private package is on any page, not even its name."""
    alice = await quiet.add_publisher()
    async with open_parts(quiet.settings) as parts:
        for name in ("hidden-hello", "hello"):
            await quiet.publish(hello_archive(name), alice)
            await publish_package(parts, PackageName(name))
        assert await publish_pages(parts)
    assert "pages/packages/hidden-hello/index.html" in await quiet.keys("pages/")
    hiding = quiet.settings.model_copy(update={"private_namespaces": {"hidden-*": frozenset()}})
    async with open_parts(hiding) as parts:
        await begin_edition(parts)
        assert await publish_pages(parts)
    keys = await quiet.keys("pages/")
    assert PAGE in keys
    assert not any("hidden" in key for key in keys)
    for key in keys:
        assert b"hidden-hello" not in await body_of(quiet.storage, key)


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_version_has_its_page_rendered_when_it_changed_and_not_when_another_did(
    quiet: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package with many versions would otherwise have all of them rendered at each publish.

    A worker knows what it put itself, as long as no other worker has put pages in between.
    """
    rendered: list[str] = []
    good = version_pages.render_version_html

    def render(site: Site, name: PackageName, row: VersionRow) -> bytes:
        rendered.append(row.version)
        return good(site, name, row)

    async def rendered_by(worker: Parts) -> list[str]:
        rendered.clear()
        await publish_package(worker, PackageName("hello"))
        assert await publish_pages(worker)
        return sorted(rendered)

    async def yank(version: str, *, yanked: bool) -> None:
        path = f"/v1/packages/hello/{version}/yank"
        assert (await quiet.http.post(path, json={"yanked": yanked}, headers=alice)).status_code == 200

    monkeypatch.setattr(version_pages, "render_version_html", render)
    monkeypatch.setattr(version_memory, "MANY_VERSIONS", 1)
    alice = await quiet.add_publisher("alice", "publish", "owner.manage")
    async with open_parts(quiet.settings) as one, open_parts(quiet.settings) as other:
        await quiet.publish(hello_archive(version="0.1.0"), alice)
        assert await rendered_by(one) == ["0.1.0"]
        await quiet.publish(hello_archive(version="0.2.0"), alice)
        assert await rendered_by(one) == ["0.2.0"]
        await quiet.publish(hello_archive(version="0.3.0"), alice)
        assert await rendered_by(one) == ["0.3.0"]
        await yank("0.1.0", yanked=True)
        assert await rendered_by(one) == ["0.1.0"]
        await yank("0.1.0", yanked=False)
        await yank("0.3.0", yanked=True)
        assert await rendered_by(other) == ["0.1.0", "0.2.0", "0.3.0"]
        await yank("0.3.0", yanked=False)
        assert await rendered_by(one) == ["0.1.0", "0.2.0", "0.3.0"]
        await yank("0.3.0", yanked=True)
        assert await rendered_by(one) == ["0.3.0"]
    assert b"This version is yanked" in await body_of(quiet.storage, "pages/packages/hello/0.3.0/index.html")


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_one_worker_renders_at_a_time(quiet: Registry, parts: Parts) -> None:
    """A second one leaves at once, and comes back later."""
    async with parts.database.transaction() as tx:
        assert await page_publication.pages.try_pages_lock(tx)
        assert not await publish_pages(parts)
    assert await publish_pages(parts)


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_worker_that_starts_while_another_renders_puts_the_files_of_its_site_afterwards(
    quiet: Registry, parts: Parts
) -> None:
    """They may be of a new release, whose pages name them."""
    async with open_parts(quiet.settings) as older:
        assert await publish_pages(older)
        await quiet.storage.delete(ROBOTS)  # which the older release does not have
        starting = PageDebounce(parts)
        async with older.database.transaction() as tx:
            assert await page_publication.pages.try_pages_lock(tx)
            await starting.turn()
    await starting.turn()
    assert ROBOTS in await quiet.keys("pages/")


@pytest_asyncio.fixture
async def parts(quiet: Registry) -> AsyncIterator[Parts]:
    """The connections of a worker."""
    async with open_parts(quiet.settings) as opened:
        yield opened
