"""Builds of GitHub and GitLab publish without a stored secret; what they publish says where it came from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio
from pydantic import SecretStr

from deploy.asgi import build_write_app
from shared.settings import Settings
from tests.archives import hello_archive
from tests.audit import events
from tests.conftest import SIGNING, MakeSettings
from tests.log.logs import LOGGING
from tests.oidc_issuer import Issuer
from tests.stack import Registry, bearer, eventually, running_registry, serving

EXCHANGE = "/v1/trusted-publishing/tokens"
GITHUB = {"kind": "github", "owner": "octo", "repository": "hello", "workflow": "release.yml"}
GITLAB = {"kind": "gitlab", "namespace": "acme/tools", "project": "hello", "workflow": ".gitlab-ci.yml"}


@pytest_asyncio.fixture
async def issuers() -> AsyncIterator[tuple[Issuer, Issuer]]:
    """GitHub and GitLab."""
    github, gitlab = Issuer(), Issuer()
    async with serving(github.app) as github.url, serving(gitlab.app) as gitlab.url:
        yield github, gitlab


def trusting(issuers: tuple[Issuer, Issuer]) -> dict[str, Any]:
    """Settings that trust both."""
    return {"trusted_issuers": f"github={issuers[0].url},gitlab={issuers[1].url}"}


@pytest_asyncio.fixture
async def trusting_registry(
    issuers: tuple[Issuer, Issuer], make_default_settings: MakeSettings
) -> AsyncIterator[Registry]:
    """A registry that trusts both."""
    settings = await make_default_settings(
        **trusting(issuers), catalog_debounce_seconds=0.02, sweep_seconds=0.5
    )
    async with running_registry(settings) as running:
        yield running


def path_of(name: str, publisher_id: str = "") -> str:
    """Where trusted publishers of a package are."""
    return f"/v1/packages/{name}/trusted-publishers{f'/{publisher_id}' if publisher_id else ''}"


async def trust(
    registry: Registry, headers: dict[str, str], name: str = "hello", **body: Any
) -> dict[str, Any]:
    """Add a trusted publisher, GitHub's unless the body says otherwise; as it is told."""
    answer = await registry.http.post(path_of(name), json=body or GITHUB, headers=headers)
    assert answer.status_code == 200, answer.text
    added: dict[str, Any] = answer.json()["trusted_publisher"]
    return added


async def token_of(registry: Registry, issuer: Issuer, **claims: Any) -> dict[str, str]:
    """The headers of a build of GitHub's."""
    identity = issuer.sign(issuer.github(registry.settings.public_base, **claims))
    answer = await registry.http.post(EXCHANGE, json={"jwt": identity})
    assert answer.status_code == 200, answer.text
    return bearer(answer.json()["token"])


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_build_makes_a_new_package_and_says_where_it_came_from(
    issuers: tuple[Issuer, Issuer], make_settings: MakeSettings
) -> None:
    """A pending publisher becomes ownership; metadata, page and log name the build, not the index line."""
    github, _ = issuers
    async with running_registry(await make_settings(**trusting(issuers), **SIGNING, **LOGGING)) as registry:
        alice = await registry.add_publisher("alice", "owner.manage")
        added = await trust(registry, alice)
        assert added["state"] == "pending"
        assert (await registry.http.get("/v1/packages/hello")).status_code == 404

        build = await token_of(registry, github)
        published = await registry.publish(hello_archive(), build)

        assert published.status_code == 200, published.text
        expected = {
            "issuer": github.url,
            "repository": "octo/hello",
            "workflow": ".github/workflows/release.yml",
            "commit": "6dcb09b5b57875f334f61aebed695e2e4193db5e",
            "run": "1658821493",
        }
        metadata = (await registry.http.get("/v1/packages/hello/0.1.0/metadata")).json()
        assert metadata["published_by"] == expected
        for page in ("/v1/packages/hello", "/dl/hello/package"):
            told = (await registry.http.get(page)).json()
            assert told["owners"] == ["alice"]
            assert told["versions"][0]["published_by"] == expected
        assert "published_by" not in (await registry.http.get("/index/he/ll/hello")).json()
        rows = await eventually(lambda: registry.rows("SELECT entry FROM log_entries"))
        assert msgspec.json.decode(rows[0].entry)["published_by"] == expected
        listed = (await registry.http.get(path_of("hello"), headers=alice)).json()
        assert listed["trusted_publishers"][0]["state"] == "active"


async def test_a_token_of_a_build_publishes_its_package_for_a_quarter_of_an_hour(
    trusting_registry: Registry, issuers: tuple[Issuer, Issuer]
) -> None:
    """Nothing else, and no longer than it wants: the build ends it."""
    github, _ = issuers
    alice = await trusting_registry.add_publisher("alice", "owner.manage", "publish", "token.manage")
    await trust(trusting_registry, alice)
    told = (await trusting_registry.http.get("/v1/trusted-publishing")).json()
    assert told["audience"] == trusting_registry.settings.public_base
    assert told["issuers"] == [
        {"kind": kind, "issuer": issuer.url}
        for kind, issuer in zip(("github", "gitlab"), issuers, strict=True)
    ]
    identity = github.sign(github.github(told["audience"]))
    answer = await trusting_registry.http.post(EXCHANGE, json={"jwt": identity})
    assert answer.headers["cache-control"] == "no-store"
    made = answer.json()
    assert list(made) == ["ok", "token", "expires_at", "package"]
    left_s = (datetime.fromisoformat(made["expires_at"]) - datetime.now(UTC)).total_seconds()
    assert left_s == pytest.approx(900, abs=30)
    build = bearer(made["token"])

    assert (await trusting_registry.publish(hello_archive("other"), build)).status_code == 403
    assert (await trusting_registry.publish(hello_archive(), build)).status_code == 200
    yank = await trusting_registry.http.post(
        "/v1/packages/hello/0.1.0/yank", json={"yanked": True}, headers=build
    )
    assert (yank.status_code, yank.json()["message"]) == (403, "missing scope: owner.manage")
    listed = (await trusting_registry.http.get("/v1/tokens", headers=alice)).json()["tokens"]
    assert [token["label"] for token in listed] == ["trusted publishing of octo/hello", ""]

    assert (await trusting_registry.http.delete(EXCHANGE, headers=alice)).status_code == 403
    assert (await trusting_registry.http.delete(EXCHANGE, headers=build)).status_code == 200
    refused = await trusting_registry.publish(hello_archive(version="0.2.0"), build)
    assert (refused.status_code, refused.json()["message"]) == (401, "token revoked")
    actions = [event.action for event in await events(trusting_registry)]
    assert actions == ["trusted_publisher_added", "trusted_publishing_token"]


async def test_gitlab_publishes_too(trusting_registry: Registry, issuers: tuple[Issuer, Issuer]) -> None:
    """Each issuer in its own words; case does not count in the path of a project."""
    _, gitlab = issuers
    alice = await trusting_registry.add_publisher("alice", "owner.manage", "publish")
    assert (await trusting_registry.publish(hello_archive(), alice)).status_code == 200
    added = await trust(trusting_registry, alice, **GITLAB, environment="release")
    assert (added["issuer"], added["repository"]) == (gitlab.url, "acme/tools/hello")
    audience = trusting_registry.settings.public_base
    host = gitlab.url.partition("//")[2]
    good: dict[str, Any] = {"project_path": "acme/tools/Hello", "environment": "release"}
    good["ci_config_ref_uri"] = f"{host}/acme/tools/Hello//.gitlab-ci.yml@refs/heads/main"
    for claims, status in (
        ({}, 403),
        ({"environment": "Release"}, 403),
        ({**good, "ci_config_ref_uri": f"{host}/mallory/hello//.gitlab-ci.yml@refs/heads/main"}, 400),
        ({**good, "ci_config_ref_uri": "other.invalid/acme/tools/hello//.gitlab-ci.yml@refs/x"}, 400),
        ({**good, "ci_config_ref_uri": f"{host}/acme/tools/hello//.GitLab-ci.yml@refs/heads/main"}, 403),
        ({**good, "namespace_path": "acme"}, 200),
        ({**good, "namespace_path": "mallory"}, 400),
        (good, 200),
    ):
        identity = gitlab.sign(gitlab.gitlab(audience, **claims))
        answer = await trusting_registry.http.post(EXCHANGE, json={"jwt": identity})
        assert answer.status_code == status, (claims, answer.text)
    published = await trusting_registry.publish(
        hello_archive(version="0.2.0"), bearer(answer.json()["token"])
    )
    assert published.status_code == 200
    found = (await trusting_registry.http.get("/v1/packages/hello")).json()["versions"]
    assert [version.get("published_by", {}).get("run") for version in found] == ["212", None]


async def test_owners_may_refuse_tokens_of_people(
    trusting_registry: Registry, issuers: tuple[Issuer, Issuer]
) -> None:
    """Admins' too; the build publishes, and owners may take it back."""
    github, _ = issuers
    alice = await trusting_registry.add_publisher("alice", "owner.manage", "publish")
    root = await trusting_registry.add_publisher("root", "admin", "publish")
    assert (await trusting_registry.publish(hello_archive(), alice)).status_code == 200
    mallory = await trusting_registry.add_publisher("mallory", "owner.manage")
    path, only = "/v1/packages/hello", {"trusted_publishing_only": True}
    assert (await trusting_registry.http.patch(path, json=only, headers=mallory)).status_code == 403
    answer = await trusting_registry.http.patch(path, json=only, headers=alice)
    assert answer.json() == {"ok": True, "name": "hello", **only}
    for person in (alice, root):
        refused = await trusting_registry.publish(hello_archive(version="0.2.0"), person)
        assert (refused.status_code, refused.json()["code"]) == (403, "X07REG_FORBIDDEN")
        assert "is published by trusted publishers only" in refused.json()["message"]
    await trust(trusting_registry, alice)
    build = await token_of(trusting_registry, github)
    assert (await trusting_registry.publish(hello_archive(version="0.2.0"), build)).status_code == 200
    listed = (await trusting_registry.http.get(path_of("hello"), headers=alice)).json()
    assert listed["trusted_publishing_only"] is True
    assert await trusting_registry.http.patch(
        path, json={**only, "trusted_publishing_only": False}, headers=alice
    )
    assert (await trusting_registry.publish(hello_archive(version="0.3.0"), alice)).status_code == 200


async def test_only_owners_manage_trusted_publishers(
    trusting_registry: Registry, issuers: tuple[Issuer, Issuer]
) -> None:
    """A publisher of somebody who lost the package publishes no more; who removes one ends its tokens."""
    github, _ = issuers
    http = trusting_registry.http
    alice = await trusting_registry.add_publisher("alice", "owner.manage", "publish")
    bob = await trusting_registry.add_publisher("bob", "owner.manage", "publish")
    root = await trusting_registry.add_publisher("root", "admin", "owner.manage")
    assert (await trusting_registry.publish(hello_archive(), alice)).status_code == 200
    added = await trust(trusting_registry, alice)
    for headers in (bob, root):
        assert (await http.post(path_of("hello"), json=GITHUB, headers=headers)).status_code == 403
    assert (await http.get(path_of("hello"), headers=bob)).status_code == 403
    assert (await http.delete(path_of("hello", added["id"]), headers=bob)).status_code == 403
    assert (
        await http.post("/v1/packages/hello/owners", json={"handle": "bob"}, headers=alice)
    ).status_code == 200
    assert (await http.delete("/v1/packages/hello/owners/alice", headers=bob)).status_code == 200

    identity = github.sign(github.github(trusting_registry.settings.public_base))
    refused = await http.post(EXCHANGE, json={"jwt": identity})
    assert refused.status_code == 403
    assert refused.json()["message"].startswith(
        'alice, who added this trusted publisher, does not own "hello"'
    )
    (listed,) = (await http.get(path_of("hello"), headers=bob)).json()["trusted_publishers"]
    assert (listed["state"], listed["added_by"]) == ("inactive", "alice")

    assert (await trust(trusting_registry, bob))["id"] == added["id"]
    build = await token_of(trusting_registry, github)
    assert (await http.delete(path_of("hello", added["id"]), headers=bob)).status_code == 200
    assert (await trusting_registry.publish(hello_archive(version="0.2.0"), build)).status_code == 401
    assert (await http.delete(path_of("hello", added["id"]), headers=bob)).status_code == 404


async def test_pending_publishers_are_bounded_and_reserve_nothing(
    trusting_registry: Registry, issuers: tuple[Issuer, Issuer]
) -> None:
    """Ten of a user, 30 days each; whoever publishes first has the name; nobody sees another one's."""
    github, _ = issuers
    http = trusting_registry.http
    alice = await trusting_registry.add_publisher("alice", "owner.manage")
    bob = await trusting_registry.add_publisher("bob", "publish", "owner.manage")
    for number in range(10):
        await trust(trusting_registry, alice, f"hello{number}", **GITHUB)
    refused = await http.post(path_of("hello10"), json=GITHUB, headers=alice)
    assert (refused.status_code, refused.json()["code"]) == (409, "X07REG_CONFLICT")
    assert (await http.get(path_of("hello0"), headers=bob)).status_code == 404
    assert (await http.post(path_of("con"), json=GITHUB, headers=bob)).status_code == 409
    identity = github.sign(github.github(trusting_registry.settings.public_base))
    several = await http.post(EXCHANGE, json={"jwt": identity})
    assert (several.status_code, "several packages" in several.json()["message"]) == (422, True)

    assert (await trusting_registry.publish(hello_archive("hello0"), bob)).status_code == 200
    await trusting_registry.rows(
        "UPDATE trusted_publishers SET created_at = now() - interval '31 days' "
        "WHERE name = 'hello1' RETURNING 1"
    )

    for name, status in (("hello0", 403), ("hello1", 403), ("hello2", 200), ("hello99", 403)):
        answer = await http.post(EXCHANGE, json={"jwt": identity, "package": name})
        assert answer.status_code == status, answer.text
    build = bearer(
        (
            await http.post(
                EXCHANGE,
                json={
                    "jwt": github.sign(github.github(trusting_registry.settings.public_base)),
                    "package": "hello2",
                },
            )
        ).json()["token"]
    )
    assert (await trusting_registry.publish(hello_archive("hello2"), build)).status_code == 200
    assert (await http.get("/v1/packages/hello2")).json()["owners"] == ["alice"]


BAD_BODIES: list[dict[str, Any]] = [
    {"kind": "github", "owner": "octo", "workflow": "release.yml"},
    {"kind": "gitlab", "owner": "octo", "repository": "hello", "workflow": "release.yml"},
    {**GITHUB, "kind": "jenkins"},
    {**GITHUB, "workflow": "sub/release.yml"},
    {**GITHUB, "workflow": "../release.yml"},
    {**GITHUB, "workflow": "release.sh"},
    {**GITHUB, "owner": "octo/x"},
    {**GITHUB, "repository": ".."},
    {**GITHUB, "environment": ""},
    {**GITHUB, "environment": "\u202egpj"},
    {**GITHUB, "issuer": "https://mallory.invalid"},
    {**GITLAB, "workflow": "a/../../b.yml"},
    {**GITLAB, "namespace": "/acme"},
]


async def test_a_publisher_that_cannot_be_is_422(trusting_registry: Registry) -> None:
    """The message says which part is wrong."""
    alice = await trusting_registry.add_publisher("alice", "owner.manage")
    for body in BAD_BODIES:
        answer = await trusting_registry.http.post(path_of("hello"), json=body, headers=alice)
        assert (answer.status_code, answer.json()["code"]) == (422, "X07REG_UNPROCESSABLE_BODY"), body


async def test_one_identity_is_exchanged_once_however_many_ask_at_once(
    trusting_registry: Registry, issuers: tuple[Issuer, Issuer]
) -> None:
    """Of eight at a time, seven are told that it was used, also by another server, and without Redis."""
    github, _ = issuers
    await trust(trusting_registry, await trusting_registry.add_publisher("alice", "owner.manage"))
    identity = github.sign(github.github(trusting_registry.settings.public_base))
    other = trusting_registry.settings.model_copy(update={"redis_url": SecretStr("redis://127.0.0.1:9")})
    async with (
        serving(build_write_app(other)) as url,
        httpx.AsyncClient(base_url=url, timeout=60) as elsewhere,
    ):
        servers = (trusting_registry.http, elsewhere) * 4
        answers = await asyncio.gather(*(http.post(EXCHANGE, json={"jwt": identity}) for http in servers))
    assert sorted(answer.status_code for answer in answers) == [200, *[400] * 7]
    assert {answer.json().get("code") for answer in answers} == {None, "X07REG_IDENTITY_INVALID"}


def test_issuers_are_https_or_on_loopback() -> None:
    """And of a kind that is known, each once."""
    for text in (
        "github=http://x.invalid",
        "gitea=https://x.invalid",
        "github",
        "gitlab=https://a,github=https://a",
    ):
        with pytest.raises(ValueError, match=r"issuers at https|github=URL|absolute"):
            Settings(trusted_issuers=text)  # type: ignore[arg-type]
    assert Settings(trusted_issuers="").trusted_issuers == ()  # type: ignore[arg-type]
    (issuer,) = Settings(trusted_issuers="gitlab=http://127.0.0.1:1/x/").trusted_issuers  # type: ignore[arg-type]
    assert issuer == ("gitlab", "http://127.0.0.1:1/x")
