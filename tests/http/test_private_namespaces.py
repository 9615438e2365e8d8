"""Private packages of a public registry: those who may not read them are told nothing, by any answer."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from api.write.routes import ALL_ENDPOINTS
from deploy.asgi import build_write_app
from indexer.upkeep.export import Export
from shared.blobs import index_key
from shared.names import PackageName
from tests.archives import hello_archive
from tests.conftest import MakeSettings
from tests.http.declared import GOOD_BODIES, body_of, path_of
from tests.http.test_pages import until_page
from tests.indexer.upkeep.walks import Silent, verified
from tests.log.logs import LOGGING, read_log
from tests.stack import ALL_SCOPES, Registry, bearer, eventually, running_registry, serving

NAMESPACES = "acme-*:alice+rita,secret_tool"
META = {"x07c_compat": "*", "facets": ["archetype:web"], "requires_packages": ["hello@1.0.0"]}
PRIVATE = ("acme-x", "secret_tool")
# A private package, for a prefix a private name that nobody has, and a public name that nobody has.
ALIKE = (("acme-x", "acme-q", "open-q"), ("secret_tool", "publik_tool"))
ADVISED = "/v1/packages/{name}/0.1.0/advisories"
FILES = (
    *(
        "/index/{shard}",
        "/dl/{name}/package",
        "/dl/{name}/0.1.0/download",
        "/v1/packages/{name}/0.1.0/metadata",
    ),
    *("/v1/packages/{name}", "/v1/packages/{name}/owners", ADVISED, "/dl/{name}/9.9.9/metadata"),
    *("/packages/{name}", "/packages/{name}/0.1.0", "/packages/{name}/versions.atom"),
)
PAGES = ("/v1/packages/{name}/dependents", "/v1/packages/{name}/dependents?limit=x", "/v1/packages/{name}x")
CATALOG = "/index/private/acme-*/catalog.json"
LISTS = (
    *("/index/catalog.json", "/v1/search?q=", "/v1/search?q=acme", "/v1/search?q=se&scale_tested=false"),
    *("/v1/archetypes", "/v1/archetypes/web", "/v1/packages/hello/dependents"),
)
HTML_LISTS = ("/packages/", "/feeds/new.atom", "/feeds/advisories.atom", "/sitemap.xml", "/status")
CHANGES = [each for each in ALL_ENDPOINTS if "/{name}" in each.path and each.auth.value != "none"]


class People:
    """Headers. ada: administrator. alice, rita: read acme-*. bob: owns secret_tool. eve: has no rights."""

    def __init__(self, **headers: dict[str, str]) -> None:
        self.ada, self.alice, self.rita = headers["ada"], headers["alice"], headers["rita"]
        self.bob, self.eve = headers["bob"], headers["eve"]


@pytest_asyncio.fixture
async def namespaces(make_settings: MakeSettings) -> AsyncIterator[tuple[Registry, People]]:
    """A public registry with private packages and a log, on each back end."""
    settings = await make_settings(
        private_namespaces=NAMESPACES, publish_wait_seconds=20, pages="on", **LOGGING
    )
    async with running_registry(settings) as running:
        people = People(
            ada=await running.add_publisher("ada", *ALL_SCOPES),
            **{
                handle: await running.add_publisher(handle, "publish", "owner.manage", "token.manage")
                for handle in ("alice", "rita", "bob", "eve")
            },
        )
        await _publish(running, people)
        yield running, people


async def _publish(registry: Registry, people: People) -> None:
    for name, who, meta in (
        ("hello", people.eve, {}),
        ("acme-x", people.alice, META),
        ("secret_tool", people.ada, META),
    ):
        archive = hello_archive(name, meta=META | meta if name != "hello" else {"x07c_compat": "*"})
        assert (await registry.publish(archive, who)).status_code == 200
    owner = await registry.http.post(
        "/v1/packages/secret_tool/owners", json={"handle": "bob"}, headers=people.ada
    )
    assert owner.status_code == 200
    for headers, path in ((people.alice, "/index/ac/me/acme-x"), (people.bob, "/index/se/cr/secret_tool")):
        await _until_read(registry, path, headers)


async def _until_status(registry: Registry, path: str, headers: dict[str, str], status: int) -> None:
    async def is_so() -> bool:
        return (await registry.http.get(path, headers=headers)).status_code == status

    await eventually(is_so)


async def _until_read(registry: Registry, path: str, headers: dict[str, str]) -> None:
    await _until_status(registry, path, headers, 200)


def _told(answer: httpx.Response, name: str) -> tuple[Any, ...]:
    """Everything that an answer tells, apart from the name and what differs from request to request."""
    request_id = answer.headers.get("x-request-id", "-")
    body = (
        answer.text.replace(answer.request.url.path, "PATH").replace(request_id, "ID").replace(name, "NAME")
    )
    headers = [(key, value) for key, value in answer.headers.items() if key not in ("x-request-id", "date")]
    return answer.status_code, sorted(headers), body


def _paths(names: Sequence[str], template: str) -> list[str]:
    return [
        template.format(name=name, shard=index_key(PackageName(name)).removeprefix("index/"))
        for name in names
    ]


async def _nobody_reads(registry: Registry, people: People) -> None:
    """A private package, a free private name and a free public name get the same answer, from both tiers.

    test_private_work.py asks in more ways.
    """
    async with (
        serving(build_write_app(registry.settings)) as url,
        httpx.AsyncClient(base_url=url, timeout=30) as writes,
    ):
        asked: list[tuple[httpx.AsyncClient, str, dict[str, str]]] = [
            (registry.http, "GET", people.eve),
            (registry.http, "HEAD", {}),
            (writes, "GET", {}),
        ]
        for names, template in itertools.product(ALIKE, (*FILES, *PAGES)):
            for http, method, headers in asked:
                told = [
                    _told(await http.request(method, path, headers=headers), name)
                    for path, name in zip(_paths(names, template), names, strict=True)
                ]
                assert all(each == told[0] for each in told), (template, headers)
                assert told[0][0] in (400, 404), (template, told[0])


async def _nobody_changes(registry: Registry, eve: dict[str, str]) -> None:
    """Owners, yanks, advisories, evidence, trusted publishers, webhooks: refused alike."""
    for names in ALIKE:
        hooks = [{**GOOD_BODIES["AddWebhookRequest"], "package": name} for name in names]
        asked = [await registry.http.post("/v1/webhooks", json=hook, headers=eve) for hook in hooks]
        told = [_told(answer, name) for answer, name in zip(asked, names, strict=True)]
        assert told[0][0] == 404
        assert all(each == told[0] for each in told)
    for names, endpoint in itertools.product(ALIKE, CHANGES):
        told = []
        for name in names:
            path, body = path_of(endpoint, name=name), body_of(endpoint)
            told.append(_told(await registry.http.request(endpoint.method, path, headers=eve, **body), name))
        assert told[0] == told[-2], endpoint.path
        assert told[0][0] in (403, 404), endpoint.path
        is_new_publisher = endpoint.method == "POST" and endpoint.path.endswith("/trusted-publishers")
        assert told[0] == told[-1] or is_new_publisher, endpoint.path


async def _nobody_publishes(registry: Registry, eve: dict[str, str]) -> None:
    """A version that exists, a new one, a new name and a look-alike: refused alike."""
    releases = (("acme-x", "0.1.0"), ("acme-x", "9.0.0"), ("acme-q", "0.1.0"), ("acme_x", "0.1.0"))
    told = [
        _told(await registry.publish(hello_archive(name, version), eve), name) for name, version in releases
    ]
    assert told[0][0] == 403
    assert all(each == told[0] for each in told)


async def _no_list_names_one(registry: Registry, people: People) -> None:
    """Not even to its owner: catalog, search, archetypes, dependents, home page, log."""

    async def is_logged() -> bool:
        return bool((await read_log(registry.storage)).lines_of("hello", "0.1.0"))

    await registry.until_in_catalog("hello", "0.1.0")
    await eventually(is_logged)
    for path, headers in itertools.product(LISTS, ({}, people.ada, people.alice)):
        answer = await registry.http.get(path, headers=headers)
        assert not any(f'"{name}"' in answer.text for name in PRIVATE), path
    assert {entry.name for entry in (await read_log(registry.storage)).entries} == {"hello"}
    assert (await registry.http.get("/v1/search?q=")).json()["total"] == 1
    home = await until_page(registry.http, "/", "/packages/hello/0.1.0")
    others = [await registry.http.get(path) for path in HTML_LISTS]
    assert not any(name in page.text for page in (home, *others) for name in PRIVATE)
    assert await verified(registry) == []


async def _an_export_has_none(registry: Registry, mirror: Path) -> None:
    """Everybody may read a mirror."""
    patterns = registry.settings.private_namespaces
    export = Export(registry.storage, mirror, b"{}", Silent(), deep=False, private=patterns)
    assert [problem async for problem in export.run()] == []
    await export.close()
    names = {path.name for path in mirror.rglob("*")}
    assert "hello" in names
    assert not names & {*PRIVATE, "private", "access"}


@pytest.mark.long
@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_who_may_not_read_is_told_nothing(namespaces: tuple[Registry, People], tmp_path: Path) -> None:
    """By no answer of either tier, by no list, by no log, and by no mirror."""
    registry, people = namespaces
    await _nobody_reads(registry, people)
    await _nobody_changes(registry, people.eve)
    await _nobody_publishes(registry, people.eve)
    await _no_list_names_one(registry, people)
    await _an_export_has_none(registry, tmp_path / "mirror")


async def _readers_read(registry: Registry, people: People) -> None:
    """The packages of the whole pattern, and its catalog; no shared cache keeps an answer."""
    await _until_read(registry, CATALOG, people.rita)
    paths = ("/index/ac/me/acme-x", "/v1/packages/acme-x/0.1.0/download", "/dl/acme-x/package", CATALOG)
    for path, headers in itertools.product(paths, (people.alice, people.rita, people.ada)):
        for more in ({}, {"x-x07-edge": "confirmed"}, {"if-none-match": "*"}):
            answer = await registry.http.get(path, headers={**headers, **more})
            assert answer.status_code in (200, 304), path
            assert answer.headers["cache-control"].startswith("private, "), path
            assert "s-maxage" not in answer.headers["cache-control"], path
            assert "authorization" in answer.headers["vary"], path
    listed = (await registry.http.get(CATALOG, headers=people.rita)).json()["packages"]
    assert [package["name"] for package in listed] == ["acme-x"]
    for headers in ({}, people.bob, people.eve):
        assert (await registry.http.get(CATALOG, headers=headers)).status_code == 404


async def _a_limited_token_reads_less(registry: Registry, people: People) -> None:
    """The packages that it is for, at the write tier too."""
    wanted = {"label": "ci", "packages": ["acme-a*"]}
    made = await registry.http.post("/v1/tokens", json=wanted, headers=people.alice)
    narrow = bearer(made.json()["token"])
    assert (await registry.http.get("/index/ac/me/acme-x", headers=narrow)).status_code == 404
    async with (
        serving(build_write_app(registry.settings)) as url,
        httpx.AsyncClient(base_url=url, timeout=30) as writes,
    ):
        for headers, status in ((people.rita, 200), (people.bob, 404), (narrow, 404)):
            for path in ("/v1/packages/acme-x", "/v1/packages/acme-x/dependents"):
                assert (await writes.get(path, headers=headers)).status_code == status, path


async def _who_leaves_reads_no_more(registry: Registry, people: People) -> None:
    """A revoked token, and an owner who was removed, get the answer of everybody else."""
    made = (await registry.http.post("/v1/tokens", json={"label": "ci"}, headers=people.rita)).json()
    token = bearer(made["token"])
    await _until_read(registry, "/index/ac/me/acme-x", token)
    revoked = await registry.http.post(f"/v1/tokens/{made['token_id']}/revoke", headers=people.rita)
    removed = await registry.http.delete("/v1/packages/secret_tool/owners/bob", headers=people.ada)
    assert (revoked.status_code, removed.status_code) == (200, 200)
    await _until_status(registry, "/index/ac/me/acme-x", token, 404)
    await _until_status(registry, "/index/se/cr/secret_tool", people.bob, 404)


async def test_readers_and_owners_read(namespaces: tuple[Registry, People]) -> None:
    """For as long as they are that."""
    registry, people = namespaces
    await _readers_read(registry, people)
    await _a_limited_token_reads_less(registry, people)
    await _who_leaves_reads_no_more(registry, people)


async def test_a_pattern_that_is_added_or_removed_moves_packages(make_default_settings: MakeSettings) -> None:
    """Out of the public lists when a worker starts with the pattern, and back without it."""
    settings = await make_default_settings(catalog_debounce_seconds=0.02, sweep_seconds=0.5)
    async with running_registry(settings) as registry:
        owner = await registry.add_publisher("alice")
        assert (await registry.publish(hello_archive("acme-x", meta=META), owner)).status_code == 200
        await registry.until_in_catalog("acme-x", "0.1.0")
    for namespaces, total in (("acme-*", 0), ("", 1)):
        changed = settings.model_copy(
            update={"private_namespaces": {namespaces: frozenset()} if namespaces else {}}
        )
        async with running_registry(changed) as registry:

            async def is_moved(registry: Registry = registry, total: int = total) -> bool:
                found = (await registry.http.get("/v1/search?q=acme")).json()["total"]
                catalog = (await registry.http.get("/index/catalog.json?x07_refresh=1")).text
                return found == total and ("acme-x" in catalog) == bool(total)

            await eventually(is_moved)
            status = (await registry.http.get("/index/ac/me/acme-x")).status_code
            assert status == (200 if total else 404)
            assert (await registry.http.get("/index/ac/me/acme-x", headers=owner)).status_code == 200
            assert await verified(registry) == []
