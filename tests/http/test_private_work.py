"""Private packages of a public registry show in no amount of work, and in no change of what is public.

What is compared does not depend on the machine: statements, requests to storage, every byte of the answers.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import asyncpg
import httpx
import pytest
import pytest_asyncio
from sqlalchemy import Engine, event

from api.read.app import ReadService
from api.write.app import build_app, open_services
from deploy.asgi import at_the_edge
from indexer.access_publication import publish_access
from indexer.catalog_publication import publish_catalog
from indexer.config_publication import publish_config
from indexer.pages.publication import publish_pages
from indexer.pages.status import publish_status
from indexer.private_publication import PrivatePublication
from shared.access import ACCESS_KEY
from shared.blobs import CATALOG_KEY, CONFIG_KEY, LOG_PREFIX, index_key
from shared.names import PackageName
from shared.storage.filesystem import FileSystemStorage
from tests.archives import hello_archive
from tests.conftest import MakeSettings
from tests.http.declared import GOOD_BODIES, body_of, path_of
from tests.http.test_private_namespaces import ADVISED, ALIKE, CHANGES, FILES, META, PAGES, _paths, _told
from tests.log.logs import LOGGING, sequencer_of
from tests.stack import ALL_SCOPES, Registry, bearer, running_registry
from worker.process import open_parts
from worker.schedule import Schedule

NAMESPACES: Final = "acme-*:alice,secret_tool"
ASKED: Final[tuple[tuple[str, dict[str, str], str], ...]] = (
    ("GET", {}, "{}"),
    ("HEAD", {}, "{}"),
    ("GET", {"accept-encoding": "gzip, zstd", "origin": "https://web.example"}, "{}"),
    ("GET", {"range": "bytes=0-1", "if-range": '"x"'}, "{}"),
    ("GET", {"if-none-match": "*"}, "{}?token=x07t_unknown"),
    ("GET", {"x-x07-edge": "confirmed"}, "{}"),
    ("GET", {"x-x07-edge": "held"}, "{}?x07_refresh=1"),
    ("OPTIONS", {}, "{}/"),
    ("GET", {}, "{}%00"),
)
OF_WRITERS: Final = ("/v1/packages/{name}", "/v1/packages/{name}/owners", ADVISED, *PAGES)
# A private package, and a name of its pattern that nobody has. The pattern is no secret: a publish that is
# refused tells of it.
COVERED: Final = ALIKE[0][:2]
LISTS: Final = (
    *("/index/catalog.json", "/index/config.json", "/v1/search?q=", "/v1/search?q=acme", "/v1/archetypes"),
    *("/v1/archetypes/web", "/v1/packages/hello", "/v1/packages/hello/dependents", "/log/checkpoint"),
    *("/log/tile/0/000.p/3", "/log/tile/entries/000.p/3", "/packages/", "/packages/hello", "/sitemap.xml"),
    *("/feeds/new.atom", "/feeds/advisories.atom", "/packages/hello/versions.atom", "/status", "/robots.txt"),
    *("/search?q=acme", "/help"),
)
NOW_AND_THEN: Final = ("last_used_at", "tree_state", ACCESS_KEY, CATALOG_KEY, CONFIG_KEY, LOG_PREFIX)
# What differs between two publishes of one name, too: the upload, and the version of the archive.
_OF_A_PUBLISH: Final = re.compile(r"(?<=staging/)\S+|(?<=dl/NAME/)[0-9.]+")
OF_METHODS: Final = ("head", "get", "open", "put", "put_file", "copy", "delete", "list")


class Work:
    """Statements and requests to storage since the last look. Names are left out of keys."""

    def __init__(self) -> None:
        self._done: list[str] = []

    def note(self, *words: str) -> None:
        """Note one. What happens now and then, whatever is asked for, is left out."""
        if not any(each in words[-1] for each in NOW_AND_THEN):
            self._done.append(" ".join(words))

    def taken(self, name: str) -> tuple[str, ...]:
        """What a request for this name took. A hidden key ends in `~`, as no name does.

        Sorted, because an archive is staged while the database is asked.
        """
        shard = index_key(PackageName(name))
        known = (each.replace(shard, "INDEX").replace(name, "NAME").replace("~", "") for each in self._done)
        done = tuple(sorted(_OF_A_PUBLISH.sub("IT", each) for each in known))
        self._done.clear()
        return done


@contextmanager
def watching_work() -> Iterator[Work]:
    """Note every statement of this process, and every request to a directory."""
    work, fetch = Work(), asyncpg.Connection.fetch

    def note_statement(_: Any, _cursor: Any, statement: str, *__: Any) -> None:
        work.note(statement)

    async def noted(connection: Any, statement: str, *values: Any, **options: Any) -> Any:
        work.note(statement)
        return await fetch(connection, statement, *values, **options)

    event.listen(Engine, "before_cursor_execute", note_statement)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncpg.Connection, "fetch", noted)
        for method in OF_METHODS:
            patch.setattr(FileSystemStorage, method, _noted(work, method))
        yield work
    event.remove(Engine, "before_cursor_execute", note_statement)


def _noted(work: Work, method: str) -> Any:
    asked = getattr(FileSystemStorage, method)

    def ask(storage: Any, key: str, *values: Any, **options: Any) -> Any:
        work.note(method, key)
        return asked(storage, key, *values, **options)

    return ask


@pytest_asyncio.fixture
async def still(
    make_default_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Registry]:
    """A registry in which nothing happens by the clock: the test does the work of the worker."""
    monkeypatch.setattr("api.read.freshness.MISSING_TTL_S", 3600.0)
    settings = await make_default_settings(
        private_namespaces=NAMESPACES,
        sweep_seconds=300,
        publish_wait_seconds=0,
        read_ttl_seconds=3600,
        pages="on",
        purge="url-template",
        purge_urls=("http://127.0.0.1:9/{key}",),
        cors_origins=("https://web.example",),
        **LOGGING,
    )
    async with running_registry(settings, with_worker=False) as running:
        yield running


async def do_all(registry: Registry) -> None:
    """Do everything that waits, as a worker does."""
    async with open_parts(registry.settings) as parts:
        await publish_config(parts)
        await Schedule(parts).sweep()
        await publish_catalog(parts)
        while not await publish_pages(parts):
            pass
        await publish_status(parts)
        await sequencer_of(parts).run()
        await PrivatePublication(parts).turn()
        await publish_access(parts)


async def published(registry: Registry, *releases: tuple[str, str, dict[str, str]]) -> None:
    """Publish versions of packages, by whom."""
    for name, version, who in releases:
        meta = {"x07c_compat": "*"} if name == "hello" else META
        assert (await registry.publish(hello_archive(name, version, meta=meta), who)).status_code == 200
    await do_all(registry)


async def test_a_private_name_and_one_that_nobody_has_take_the_same_work(still: Registry) -> None:
    """Statements, requests to storage, headers and bytes, on both tiers, in every spelling and use."""
    ada = await still.add_publisher("ada", *ALL_SCOPES)
    eve = await still.add_publisher("eve", "publish", "owner.manage")
    await published(still, ("acme-x", "0.1.0", ada), ("secret_tool", "0.1.0", ada), ("hello", "0.1.0", eve))
    async with tiers(still) as (reads, writes):
        with watching_work() as work:
            for names in ALIKE:
                await _read_alike(reads, work, names, (*FILES, *PAGES), ({}, eve))
                await _read_alike(writes, work, names, OF_WRITERS, ({},))
            await _read_alike(writes, work, COVERED, OF_WRITERS, (eve, bearer("x07t_unknown")))
            await _change_alike(writes, work, eve)
            await _publish_alike(writes, work, eve)


@asynccontextmanager
async def tiers(registry: Registry) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    """Clients of a read and a write server that hear no messages, so that only requests cause work."""
    settings = registry.settings
    async with open_services(settings) as services:
        apps = ReadService(registry.storage, settings), build_app(services)
        served = [at_the_edge(app, settings) for app in apps]
        reads, writes = (
            httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://x") for app in served
        )
        async with reads, writes:
            yield reads, writes


async def _read_alike(
    http: httpx.AsyncClient,
    work: Work,
    names: Sequence[str],
    templates: Sequence[str],
    people: Sequence[dict[str, str]],
) -> None:
    for template, (method, use, spelling), who in itertools.product(templates, ASKED, people):
        asked, told = (template, method, use, spelling, who), []
        for path, name in zip(_paths(names, template), names, strict=True):
            answer = await http.request(method, spelling.format(path), headers={**use, **who})
            status, headers, body = _told(answer, name)
            body = body.replace(f"/{name[:2]}/{name[2:4]}/", "/SHARD/")
            told.append(((status, headers, body), work.taken(name)))
        assert [each for each in told if each != told[0]] == [], (asked, told[0])
        assert told[0][0][0] not in (200, 304, 401) or method == "OPTIONS", asked


async def _change_alike(http: httpx.AsyncClient, work: Work, eve: dict[str, str]) -> None:
    for endpoint in CHANGES:
        told = []
        for name in COVERED:
            path, body = path_of(endpoint, name=name), body_of(endpoint)
            answer = await http.request(endpoint.method, path, headers=eve, **body)
            told.append((_told(answer, name), work.taken(name)))
        assert [each for each in told if each != told[0]] == [], (endpoint.path, told[0])
    hooks = []
    for name in COVERED:
        body = {**GOOD_BODIES["AddWebhookRequest"], "package": name}
        answer = await http.post("/v1/webhooks", json=body, headers=eve)
        hooks.append((_told(answer, name), work.taken(name)))
    assert all(each == hooks[0] for each in hooks)


async def _publish_alike(http: httpx.AsyncClient, work: Work, eve: dict[str, str]) -> None:
    told = []
    for name, version in (("acme-x", "0.1.0"), ("acme-x", "9.0.0"), ("acme-q", "0.1.0"), ("acme_x", "0.1.0")):
        archive = hello_archive(name, version)
        answer = await http.post("/v1/packages/publish", content=archive, headers=eve)
        told.append((_told(answer, name), work.taken(name)))
    assert told[0][0][0] == 403
    assert all(each == told[0] for each in told)


async def test_a_private_change_leaves_all_that_is_public_as_it_was(still: Registry) -> None:
    """Bytes, headers and times of every list, page, feed, search and file; the edge drops nothing of it."""
    ada = await still.add_publisher("ada", *ALL_SCOPES)
    eve = await still.add_publisher("eve")
    await published(still, ("hello", "0.1.0", eve), ("open", "0.1.0", ada))
    advisory = {"kind": "broken", "severity": "high", "summary": "x"}
    await still.http.post("/v1/packages/open/0.1.0/advisories", json=advisory, headers=ada)
    await do_all(still)
    before = await _seen_by_everybody(still)
    assert b"open 0.1.0" in before["/feeds/advisories.atom {}"][2]
    await still.rows("DELETE FROM edge_purges RETURNING 1")

    await published(still, ("acme-x", "0.1.0", ada), ("acme-x", "0.2.0", ada), ("secret_tool", "1.0.0", ada))
    for path, body in (("yank", {"yanked": True}), ("advisories", advisory)):
        answer = await still.http.post(f"/v1/packages/acme-x/0.1.0/{path}", json=body, headers=ada)
        assert answer.status_code == 200
    await still.rows(MANY_ADVISORIES)
    await do_all(still)

    after = await _seen_by_everybody(still)
    assert {path: told for path, told in after.items() if told != before[path]} == {}
    purged = {row.surrogate_key for row in await still.rows("SELECT surrogate_key FROM edge_purges")}
    assert {key.partition("/")[2].partition("/")[0] for key in purged} == {"acme-x", "secret_tool"}, purged
    told = (await still.publish(hello_archive(version="2.0.0"), eve)).json()
    assert "acme-x" not in str(told), told
    assert [each["package"] for each in told["rdep_conflicts"]] == ["open"]


MANY_ADVISORIES = """
    INSERT INTO package_version_advisories (package_id, version, kind, severity, summary, created_by)
    SELECT a.package_id, a.version, a.kind, a.severity, a.summary, a.created_by
    FROM packages p JOIN package_version_advisories a ON a.package_id = p.id, generate_series(1, 200)
    WHERE p.name = 'acme-x' RETURNING 1
"""


async def _seen_by_everybody(registry: Registry) -> dict[str, Any]:
    """Every public answer, apart from the id and the time of the answer."""
    seen: dict[str, Any] = {}
    for path in LISTS:
        for headers in ({}, {"accept-encoding": "gzip", "accept": "text/html"}):
            answer = await registry.http.get(path, headers=headers)
            kept = [pair for pair in answer.headers.multi_items() if pair[0] not in ("x-request-id", "date")]
            seen[f"{path} {headers}"] = answer.status_code, kept, answer.content
    return seen
