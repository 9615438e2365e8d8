"""Tokens with an expiry and a list of packages: what they may do, and what tokens created by them may do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from api.write.token_limits import covers
from shared.timestamps import render_timestamp
from tests.archives import hello_archive
from tests.audit import Event, events
from tests.conftest import MakeSettings
from tests.http.test_tokens import create, listed
from tests.stack import ALL_SCOPES, Registry, bearer, running_registry

DAY = timedelta(days=1)


async def expire(registry: Registry, token_id: str) -> None:
    """Make a token expire a second ago."""
    await registry.rows(
        "UPDATE token_limits SET expires_at = now() - interval '1 s' WHERE token_id = :id RETURNING 1",
        id=UUID(token_id),
    )


def in_days(created: dict[str, Any]) -> float:
    """The number of days until a token expires."""
    return (datetime.fromisoformat(created["expires_at"]) - datetime.now(UTC)) / DAY


async def test_a_token_with_an_end_works_until_then(fs_registry: Registry) -> None:
    """Afterwards it is 401 with its own code; the message says when it expired and what to do."""
    alice = await fs_registry.add_publisher("alice", "token.manage", "publish")
    created = await create(fs_registry, alice, expires_in_days=90)
    assert in_days(created) == pytest.approx(90, abs=0.01)
    assert (await fs_registry.publish(hello_archive(), bearer(created["token"]))).status_code == 200
    (event,) = await events(fs_registry)
    assert event.details is not None
    assert event.details["expires_at"] == created["expires_at"]

    await expire(fs_registry, created["token_id"])

    refused = await fs_registry.publish(hello_archive(version="0.2.0"), bearer(created["token"]))
    assert (refused.status_code, refused.json()["code"]) == (401, "X07REG_AUTH_EXPIRED")
    assert refused.headers["www-authenticate"] == "Bearer"
    assert refused.json()["message"].startswith("token expired on 20")
    assert refused.json()["message"].endswith("; make a new one")
    found = {token["id"]: token for token in await listed(fs_registry, alice)}
    assert found[created["token_id"]]["expires_at"] is not None
    assert [token["expires_at"] for token in found.values()].count(None) == 1


async def test_an_aimed_token_changes_only_its_packages(registry: Registry) -> None:
    """This covers publish, yank, owners and scale evidence, although its user owns more and is an admin."""
    alice = await registry.add_publisher("alice", *ALL_SCOPES)
    for name in ("hello", "acme-one", "acmes"):
        assert (await registry.publish(hello_archive(name), alice)).status_code == 200
    asked = {"scopes": list(ALL_SCOPES), "packages": ["hello", "acme-*", "hello"]}
    created = await create(registry, alice, **asked)
    assert created["packages"] == ["acme-*", "hello"]
    aimed = bearer(created["token"])
    http = registry.http

    for name, status in (("hello", 200), ("acme-one", 200), ("acme-new", 200), ("acmes", 403), ("new", 403)):
        answer = await registry.publish(hello_archive(name, "0.2.0"), aimed)
        assert answer.status_code == status, name
    for name, status in (("acme-one", 200), ("acmes", 403)):
        path = f"/v1/packages/{name}"
        yanked = await http.post(f"{path}/0.1.0/yank", json={"yanked": True}, headers=aimed)
        owners = await http.post(f"{path}/owners", json={"handle": "alice"}, headers=aimed)
        assert [yanked.status_code, owners.status_code] == [status, status], name
    assert yanked.json()["code"] == "X07REG_FORBIDDEN"
    assert yanked.json()["message"] == (
        'this token is for "acme-*", "hello" alone, not for "acmes"; '
        "use a token that is for this package, or make one"
    )
    assert (await listed(registry, alice))[0]["packages"] == ["acme-*", "hello"]


async def test_a_token_gives_no_other_more_than_it_has(fs_registry: Registry) -> None:
    """Neither limit can be exceeded, even with `admin`; limits that are not given are inherited."""
    root = await fs_registry.add_publisher("root", *ALL_SCOPES)
    short = await create(
        fs_registry, root, scopes=list(ALL_SCOPES), expires_in_days=10, packages=["acme-*", "hello"]
    )
    headers = bearer(short["token"])

    inherited = await create(fs_registry, headers)
    narrower = await create(fs_registry, headers, expires_in_days=5, packages=["acme-x-*", "hello"])

    assert inherited["expires_at"] == short["expires_at"]
    assert inherited["packages"] == short["packages"]
    assert in_days(narrower) == pytest.approx(5, abs=0.01)
    assert narrower["packages"] == ["acme-x-*", "hello"]
    for body, message in (
        ({"expires_in_days": 11}, "cannot grant an end after this token's own, "),
        ({"packages": ["acme*"]}, 'cannot grant a package that this token is not for: "acme*"'),
        ({"packages": ["hello*"]}, 'cannot grant a package that this token is not for: "hello*"'),
    ):
        answer = await fs_registry.http.post("/v1/tokens", json=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "X07REG_FORBIDDEN"), body
        assert answer.json()["message"].startswith(message)


async def test_limits_that_cannot_be_are_422(fs_registry: Registry) -> None:
    """The end is past, too late or given twice; a package pattern is invalid, or there are too many."""
    root = await fs_registry.add_publisher("root", *ALL_SCOPES)
    past, future = (render_timestamp(datetime.now(UTC) + days * DAY) for days in (-1, 3651))
    for body in (
        {"expires_in_days": 0},
        {"expires_in_days": 3651},
        {"expires_in_days": 1.5},
        {"expires_in_days": None},
        {"expires_at": past},
        {"expires_at": future},
        {"expires_at": "2030-01-01T00:00:00"},
        {"expires_at": "soon"},
        {"expires_in_days": 1, "expires_at": render_timestamp(datetime.now(UTC) + DAY)},
        {"packages": []},
        {"packages": None},
        {"packages": ["*"]},
        {"packages": ["Hello"]},
        {"packages": ["a*b"]},
        {"packages": ["hello\n"]},
        {"packages": [f"p{number}" for number in range(101)]},
    ):
        answer = await fs_registry.http.post("/v1/tokens", json=body, headers=root)
        assert (answer.status_code, answer.json()["code"]) == (422, "X07REG_UNPROCESSABLE_BODY"), body
    assert len(await fs_registry.rows("SELECT 1 FROM tokens")) == 1


async def test_a_registry_limits_how_long_tokens_last(make_default_settings: MakeSettings) -> None:
    """Without an end the token gets the longest one; a later end is refused with that limit."""
    settings = await make_default_settings(token_max_days="30")
    async with running_registry(settings, with_worker=False) as registry:
        alice = await registry.add_publisher("alice", "token.manage", "publish")
        assert in_days(await create(registry, alice)) == pytest.approx(30, abs=0.01)
        assert in_days(await create(registry, alice, expires_in_days=7)) == pytest.approx(7, abs=0.01)
        answer = await registry.http.post("/v1/tokens", json={"expires_in_days": 31}, headers=alice)
        assert answer.status_code == 422
        assert "the longest that a token may last here" in answer.json()["message"]


async def test_yank_is_a_scope_of_its_own_that_owner_manage_includes(registry: Registry) -> None:
    """A token for yanks can do nothing else; `read` allows no changes."""
    owner = await registry.add_publisher("alice", "publish", "owner.manage", "token.manage")
    assert (await registry.publish(hello_archive(), owner)).status_code == 200
    yanks = bearer((await create(registry, owner, scopes=["yank"]))["token"])
    reads = bearer((await create(registry, owner, scopes=["read"]))["token"])
    path = "/v1/packages/hello/0.1.0/yank"
    for headers, status in ((owner, 200), (yanks, 200), (reads, 403)):
        answer = await registry.http.post(path, json={"yanked": True}, headers=headers)
        assert answer.status_code == status
    assert answer.json()["message"] == "missing scope: owner.manage"
    for headers in (yanks, reads):
        refused = await registry.publish(hello_archive(version="0.2.0"), headers)
        assert refused.json()["message"] == "missing scope: publish"
        body = {"handle": "alice"}
        refused = await registry.http.post("/v1/packages/hello/owners", json=body, headers=headers)
        assert refused.json()["message"] == "missing scope: owner.manage"
    assert Event("alice", "yank", "hello", "0.1.0", {}) in await events(registry)


@pytest.mark.parametrize(
    ("patterns", "pattern", "is_covered"),
    [
        (["hello"], "hello", True),
        (["hello"], "hello2", False),
        (["acme-*"], "acme-", True),
        (["acme-*"], "acme", False),
        (["acme-*"], "acme-x*", True),
        (["acme-*"], "acme*", False),
        (["hello"], "hello*", False),
        ([], "hello", False),
    ],
)
def test_a_pattern_is_covered_if_all_that_it_means_is(
    patterns: list[str], pattern: str, is_covered: bool
) -> None:
    """A name is a pattern that means itself."""
    assert covers(patterns, pattern) is is_covered
