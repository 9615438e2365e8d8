"""A private registry: reads are for holders of a token on both tiers, and no shared cache keeps an answer."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from api.read.access import AccessList
from api.write.credentials import secret_hash
from api.write.routes import ALL_ENDPOINTS
from indexer.upkeep.export import Export
from shared.access import ACCESS_KEY, Grant, render_access
from shared.blobs import JSON_TYPE
from shared.credential_errors import AuthInvalid
from shared.errors import StorageUnavailable
from shared.storage.filesystem import FileSystemStorage
from tests.api.read.faulty_storage import FaultyStorage
from tests.archives import hello_archive
from tests.conftest import MakeSettings
from tests.http.declared import path_of
from tests.http.test_tokens import create
from tests.stack import Registry, bearer, eventually, running_registry

FILES = (
    *("/index/config.json", "/index/catalog.json", "/index/he/ll/hello"),
    *("/v1/packages/hello/0.1.0/metadata", "/v1/packages/hello/0.1.0/download", "/dl/hello/package"),
)
UNKNOWN = ("/index/un/kn/unknown", "/v1/packages/unknown/0.1.0/download", "/dl/unknown/package")
PAGES = tuple(path_of(endpoint) for endpoint in ALL_ENDPOINTS if endpoint.shows_packages)
OPEN = ("/", "/healthz", "/openapi/openapi.json", "/v1/trusted-publishing")


@pytest_asyncio.fixture
async def private(make_settings: MakeSettings) -> AsyncIterator[Registry]:
    """A private registry, on each back end."""
    async with running_registry(await make_settings(reads="token")) as running:
        yield running


class Silent:
    """Progress that nobody looks at."""

    def begin(self, what: str, total: int | None = None) -> None:
        """Say nothing."""

    def advance(self, count: int = 1) -> None:
        """Say nothing."""


async def status_of(registry: Registry, path: str, headers: dict[str, str]) -> int:
    """The status of a read."""
    return (await registry.http.get(path, headers=headers)).status_code


async def may_read(registry: Registry, headers: dict[str, str]) -> bool:
    """True if this token reads the configuration."""
    return await status_of(registry, "/index/config.json", headers) == 200


async def published(registry: Registry) -> dict[str, str]:
    """The headers of the owner of `hello`, which is published."""
    owner = await registry.add_publisher("alice", "publish", "token.manage")
    assert (await registry.publish(hello_archive(), owner)).status_code == 200
    await eventually(lambda: may_read(registry, owner))
    return owner


async def test_nobody_reads_without_a_token_and_nothing_tells_what_there_is(private: Registry) -> None:
    """What is there and what is not are answered alike, by both tiers; holders of any token read all."""
    owner = await published(private)

    seen = set()
    for path in (*FILES, *UNKNOWN, *PAGES, "/v1/packages/unknown"):
        for headers in ({}, bearer("x07t_unknown"), {"authorization": "Basic YTpi"}):
            for _ in range(2):  # the second time on the fast path, if there were a way
                answer = await private.http.get(path, headers=headers)
                assert answer.status_code == 401, (path, headers)
                assert answer.headers["www-authenticate"] == "Bearer"
                seen.add((bool(headers.get("authorization", "").startswith("Bearer")), answer.json()["code"]))
    assert seen == {(False, "X07REG_AUTH_REQUIRED"), (True, "X07REG_AUTH_INVALID")}
    await _only_one_plain_credential_counts(private, owner["authorization"])
    for path in OPEN:
        assert await status_of(private, path, {}) == 200, path
    await private.until_configured()
    for path in FILES:
        assert await status_of(private, path, owner) == 200, path
    for path in UNKNOWN:
        assert await status_of(private, path, owner) == 404, path
    assert (await private.http.get("/index/config.json", headers=owner)).json()["auth-required"] is True


async def _only_one_plain_credential_counts(registry: Registry, good: str) -> None:
    """Two lines, another case, a token in the query or in another header: none of them is a token."""
    name, token = "authorization", good.removeprefix("Bearer ")
    refused: list[list[tuple[str, str]]] = [
        [(name, good), (name, good)],
        [(name, good), (name, "Bearer x07t_unknown")],
        [(name, "Basic YTpi"), (name, good)],
        [(name, f"bearer {token}")],
        [(name, f"Bearer {token}, Bearer {token}")],
        [(name, f"Bearer {token[:-1]}")],
        [(name, token)],
        [("proxy-authorization", good), ("x-authorization", good), ("cookie", f"authorization={good}")],
    ]
    for path, headers in itertools.product((FILES[2], PAGES[0]), refused):
        for _ in range(2):
            answer = await registry.http.get(path, headers=headers, params={"token": token})
            assert answer.status_code == 401, (path, headers)
            assert answer.headers["www-authenticate"] == "Bearer"
    for spelling in ("authorization", "AUTHORIZATION", "Authorization"):
        assert await status_of(registry, FILES[2], {spelling: f"Bearer \t{token}"}) == 200


async def test_no_shared_cache_keeps_an_answer(private: Registry) -> None:
    """Nor an edge that asks for one: private, and another for each credential."""
    owner = await published(private)
    for path in (*FILES, *PAGES):
        for more in ({}, {"x-x07-edge": "confirmed"}, {"if-none-match": "*"}):
            for _ in range(2):
                answer = await private.http.get(path, headers={**owner, **more})
                directives = answer.headers.get("cache-control", "no-store")
                assert "public" not in directives, path
                assert "s-maxage" not in directives, path
                if answer.is_success or answer.status_code == 304:
                    assert directives.startswith("private, "), path
                    assert "authorization" in answer.headers["vary"].lower(), path


async def test_a_new_token_reads_and_a_revoked_or_expired_one_does_not(private: Registry) -> None:
    """Without a restart, and also on the fast path, where the token was judged before."""
    owner = await published(private)
    path = "/index/he/ll/hello"
    made = await create(private, owner, scopes=["publish"], expires_in_days=1)
    other = bearer((await create(private, owner, scopes=["publish"]))["token"])
    token = bearer(made["token"])
    for headers in (token, other):
        await eventually(lambda headers=headers: may_read(private, headers))
        assert [await status_of(private, path, headers) for _ in range(3)] == [200] * 3

    assert (
        await private.http.post(f"/v1/tokens/{made['token_id']}/revoke", headers=owner)
    ).status_code == 200

    async def is_refused() -> bool:
        return await status_of(private, path, token) == 401

    await eventually(is_refused)
    assert await status_of(private, path, other) == 200


async def test_without_redis_and_sweep_a_revoked_token_reads_no_more(
    make_default_settings: MakeSettings,
) -> None:
    """Worker and readers look for changes themselves, several times in a time-to-live."""
    settings = await make_default_settings(
        reads="token",
        redis_url="redis://127.0.0.1:9",
        sweep_seconds=300,
        read_ttl_seconds=1,
        publish_wait_seconds=0,
    )
    async with running_registry(settings) as registry:
        owner = await registry.add_publisher("alice", "publish", "token.manage")
        await eventually(lambda: may_read(registry, owner))
        made = await create(registry, owner, scopes=["read"])
        token = bearer(made["token"])
        await eventually(lambda: may_read(registry, token))
        await registry.http.post(f"/v1/tokens/{made['token_id']}/revoke", headers=owner)

        async def is_refused() -> bool:
            return not await may_read(registry, token)

        await eventually(is_refused)


async def test_the_list_is_never_served_nor_exported(private: Registry, tmp_path: Path) -> None:
    """It holds hashes only, and no path leads to it."""
    owner = await published(private)
    found = await private.storage.get(ACCESS_KEY)
    tokens = msgspec.json.decode(found.body)["tokens"]  # type: ignore[union-attr]
    assert tokens == {secret_hash(owner["authorization"].removeprefix("Bearer ")): None}
    for path in ("/access/tokens", "/index/access/tokens", "/index/../access/tokens", "/dl/../access/tokens"):
        assert await status_of(private, path, owner) in (400, 404), path
    assert ACCESS_KEY in await private.keys()
    export = Export(private.storage, tmp_path / "mirror", b"{}", Silent(), deep=False)
    assert [problem async for problem in export.run()] == []
    await export.close()
    assert (tmp_path / "mirror/dl/hello/0.1.0/download").exists()
    assert not (tmp_path / "mirror/access").exists()


async def test_a_reader_without_storage_goes_on_for_a_bounded_time(tmp_path: Path) -> None:
    """Then it refuses, also those that it knew; a token that ended is refused meanwhile."""
    files = FileSystemStorage(tmp_path)
    await files.create()
    storage = FaultyStorage(files)
    tokens = {secret_hash("x07t_known"): Grant(None), secret_hash("x07t_ended"): Grant(1.0)}
    await files.put(ACCESS_KEY, render_access(tokens), content_type=JSON_TYPE, digest="0" * 64)
    patient, strict = AccessList(storage, 0.05, 3600), AccessList(storage, 0.05, 0)
    known = {b"authorization": ["Bearer x07t_known"]}
    for access in (patient, strict):
        assert await access.key_for("index/3/a/abc", known)
    storage.fault = StorageUnavailable
    for access in (patient, strict):
        access.suspect()
    assert await patient.key_for("index/3/a/abc", known)
    with pytest.raises(AuthInvalid):
        await patient.key_for("index/3/a/abc", {b"authorization": ["Bearer x07t_ended"]})
    with pytest.raises(StorageUnavailable):
        await strict.key_for("index/3/a/abc", known)
    await files.close()
