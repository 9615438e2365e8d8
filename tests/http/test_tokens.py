"""API tokens over HTTP: created, listed without secrets, revoked permanently."""

from __future__ import annotations

import asyncio
import hashlib
import re
from typing import Any
from uuid import UUID, uuid4

import pytest

from api.write.principal import Principal
from api.write.tokens import create_token
from shared.credential_errors import TokenGenerationFailed
from tests.archives import hello_archive
from tests.audit import Event, events
from tests.stack import ALL_SCOPES, Registry, bearer

SECRET = re.compile(r"x07t_[0-9a-f]{64}")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3}|\.\d{6})?Z")


async def create(registry: Registry, headers: dict[str, str], **body: Any) -> dict[str, Any]:
    """Create a token and return it."""
    answer = await registry.http.post("/v1/tokens", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    created: dict[str, Any] = answer.json()
    return created


async def listed(registry: Registry, headers: dict[str, str]) -> list[dict[str, Any]]:
    """The caller's tokens."""
    answer = await registry.http.get("/v1/tokens", headers=headers)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["tokens"]
    return found


async def test_a_token_is_told_once_and_works_at_once(fs_registry: Registry) -> None:
    """Only its SHA-256 is stored, and its actions are recorded."""
    manager = await fs_registry.add_publisher("alice", "token.manage", "publish")

    answer = await fs_registry.http.post(
        "/v1/tokens", json={"label": " ci ", "scopes": ["publish"]}, headers=manager
    )

    created = answer.json()
    assert list(created) == ["ok", "token_id", "token", "scopes", "expires_at", "packages"]
    assert created["expires_at"] is created["packages"] is None
    assert (answer.status_code, created["ok"], created["scopes"]) == (200, True, ["publish"])
    assert answer.headers["cache-control"] == "no-store"
    assert SECRET.fullmatch(created["token"])
    (row,) = await fs_registry.rows("SELECT * FROM tokens WHERE id = :id", id=UUID(created["token_id"]))
    assert row.token_hash == hashlib.sha256(created["token"].encode()).hexdigest()
    assert created["token"] not in str(row)
    details = {"label": "ci", "scopes": ["publish"], "token_id": created["token_id"]}
    assert await events(fs_registry) == [Event("alice", "token_created", details=details)]
    assert (await fs_registry.publish(hello_archive(), bearer(created["token"]))).status_code == 200


async def test_tokens_are_listed_newest_first_and_without_secrets(fs_registry: Registry) -> None:
    """Revoked ones stay in the list; other people's are never in it, even for an admin."""
    alice = await fs_registry.add_publisher("alice", "token.manage", "publish")
    root = await fs_registry.add_publisher("root", *ALL_SCOPES)
    first = await create(fs_registry, alice, label="first")
    second = await create(fs_registry, alice, label="second", scopes=["token.manage", "publish"])
    await fs_registry.http.post(f"/v1/tokens/{first['token_id']}/revoke", headers=alice)

    found = await listed(fs_registry, alice)

    assert [token["label"] for token in found] == ["second", "first", ""]
    assert list(found[0])[:6] == ["id", "label", "scopes", "created_at", "last_used_at", "revoked_at"]
    assert list(found[0])[6:] == ["expires_at", "packages"]
    assert found[0]["id"] == second["token_id"]
    assert found[0]["scopes"] == ["publish", "token.manage"]
    assert found[0]["last_used_at"] is found[0]["revoked_at"] is None
    assert MOMENT.fullmatch(found[0]["created_at"])
    assert MOMENT.fullmatch(found[1]["revoked_at"])
    assert not any(token["token"] in str(found) for token in (first, second))
    assert [token["label"] for token in await listed(fs_registry, root)] == [""]
    assert (await fs_registry.http.get("/v1/tokens", headers=alice)).headers["cache-control"] == "no-store"


async def test_an_empty_body_object_makes_an_unnamed_publish_token(fs_registry: Registry) -> None:
    """Both fields are optional; scopes are sorted and each counts once; unknown fields are ignored."""
    root = await fs_registry.add_publisher("root", *ALL_SCOPES)
    assert (await create(fs_registry, root))["scopes"] == ["publish"]
    every = await create(fs_registry, root, scopes=["token.manage", "publish", "admin", "publish"], extra={})
    assert every["scopes"] == ["admin", "publish", "token.manage"]


@pytest.mark.parametrize(
    ("held", "asked", "message"),
    [
        (("token.manage",), [], "cannot grant scope: publish"),
        (("token.manage",), ["publish", "admin"], "cannot grant scope: admin"),
        (("token.manage", "publish"), ["publish", "owner.manage"], "cannot grant scope: owner.manage"),
    ],
)
async def test_nobody_grants_what_they_do_not_hold(
    fs_registry: Registry, held: tuple[str, ...], asked: list[str], message: str
) -> None:
    """The first such scope in sorted order is named, and no token is created."""
    caller = await fs_registry.add_publisher("alice", *held)
    answer = await fs_registry.http.post("/v1/tokens", json={"scopes": asked}, headers=caller)
    assert (answer.status_code, answer.json()["code"]) == (403, "X07REG_FORBIDDEN")
    assert answer.json()["message"] == message
    assert len(await fs_registry.rows("SELECT 1 FROM tokens")) == 1
    assert await events(fs_registry) == []


async def test_an_admin_grants_every_scope(fs_registry: Registry) -> None:
    """This holds whatever other scopes the admin's token has."""
    admin = await fs_registry.add_publisher("root", "admin", "token.manage")
    assert (await create(fs_registry, admin, scopes=list(ALL_SCOPES)))["scopes"] == sorted(ALL_SCOPES)


UNKNOWN_SCOPES = ["Publish", "publish ", "", "everything", "\0", "x" * 10_000]


async def test_an_unknown_scope_is_refused(fs_registry: Registry) -> None:
    """Scopes are compared exactly, before the caller matters; the answer stays small."""
    admin = await fs_registry.add_publisher("root", "admin", "token.manage")
    for scope in UNKNOWN_SCOPES:
        answer = await fs_registry.http.post("/v1/tokens", json={"scopes": ["publish", scope]}, headers=admin)
        assert (answer.status_code, answer.json()["code"]) == (400, "X07REG_SCOPE_INVALID"), scope
        assert len(answer.content) < 1000


MISSHAPEN = [
    {"label": None},
    {"scopes": None},
    {"scopes": "publish"},
    {"scopes": [1]},
    {"label": 1},
    {"label": "x" * 257},
    {"label": "a\0b"},
    [],
    "publish",
]


async def test_a_body_of_another_shape_is_422(fs_registry: Registry) -> None:
    """Null does not mean absent; a label has at most 256 characters without NUL."""
    admin = await fs_registry.add_publisher("root", *ALL_SCOPES)
    for body in MISSHAPEN:
        answer = await fs_registry.http.post("/v1/tokens", json=body, headers=admin)
        assert (answer.status_code, answer.json()["code"]) == (422, "X07REG_UNPROCESSABLE_BODY"), body
        assert len(await fs_registry.rows("SELECT 1 FROM tokens")) == 1


async def test_a_revoked_token_is_refused_and_keeps_its_first_moment(fs_registry: Registry) -> None:
    """Revoking again is 200 and recorded again, but changes nothing."""
    manager = await fs_registry.add_publisher("alice", "token.manage", "publish")
    created = await create(fs_registry, manager)
    path = f"/v1/tokens/{created['token_id']}/revoke"

    answer = await fs_registry.http.post(path, headers=manager)

    assert (answer.status_code, answer.content) == (200, b'{"ok":true}')
    refused = await fs_registry.http.get("/v1/account", headers=bearer(created["token"]))
    assert (refused.status_code, refused.json()["message"]) == (401, "token revoked")
    first = (await listed(fs_registry, manager))[0]["revoked_at"]
    assert (await fs_registry.http.post(path, headers=manager)).status_code == 200
    assert (await listed(fs_registry, manager))[0]["revoked_at"] == first
    revoked = Event("alice", "token_revoked", details={"token_id": created["token_id"]})
    assert (await events(fs_registry))[1:] == [revoked, revoked]


async def test_a_token_may_revoke_itself(fs_registry: Registry) -> None:
    """Afterwards it is refused."""
    manager = await fs_registry.add_publisher("alice", "token.manage")
    (own,) = await listed(fs_registry, manager)
    assert (await fs_registry.http.post(f"/v1/tokens/{own['id']}/revoke", headers=manager)).status_code == 200
    assert (await fs_registry.http.get("/v1/tokens", headers=manager)).status_code == 401


async def test_other_peoples_tokens_are_revoked_by_admins_only(fs_registry: Registry) -> None:
    """For everyone else they appear not to exist."""
    alice = await fs_registry.add_publisher("alice", "token.manage", "publish")
    mallory = await fs_registry.add_publisher("mallory", "token.manage")
    root = await fs_registry.add_publisher("root", "admin", "token.manage")
    created = await create(fs_registry, alice)
    for token_id in (created["token_id"], str(uuid4())):
        answer = await fs_registry.http.post(f"/v1/tokens/{token_id}/revoke", headers=mallory)
        assert (answer.status_code, answer.json()["code"]) == (404, "X07REG_NOT_FOUND")
    assert (await fs_registry.http.get("/v1/account", headers=bearer(created["token"]))).status_code == 200
    answer = await fs_registry.http.post(f"/v1/tokens/{created['token_id']}/revoke", headers=root)
    assert answer.status_code == 200
    assert (await events(fs_registry))[-1].actor == "root"


async def test_a_token_id_is_a_uuid_in_any_of_its_forms(fs_registry: Registry) -> None:
    """Any other text is 400, before the token is looked up."""
    manager = await fs_registry.add_publisher("alice", "token.manage")
    token_id = uuid4()
    for form in (str(token_id).upper(), token_id.hex, f"{{{token_id}}}", token_id.urn):
        answer = await fs_registry.http.post(f"/v1/tokens/{form}/revoke", headers=manager)
        assert (answer.status_code, answer.json()["code"]) == (404, "X07REG_NOT_FOUND"), form
    for form in ("1", "not-a-uuid", f"{token_id}0", f"{token_id.hex[:8]}-{token_id.hex[8:]}", "%00"):
        answer = await fs_registry.http.post(f"/v1/tokens/{form}/revoke", headers=manager)
        assert (answer.status_code, answer.json()["code"]) == (400, "X07REG_BAD_REQUEST"), form


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/tokens"), ("POST", "/v1/tokens"), ("POST", f"/v1/tokens/{UUID(int=1)}/revoke")],
)
async def test_tokens_are_managed_with_their_scope_only(
    fs_registry: Registry, method: str, path: str
) -> None:
    """`admin` does not include it, and a credential is required."""
    caller = await fs_registry.add_publisher("alice", "admin", "publish", "owner.manage")
    answer = await fs_registry.http.request(method, path, headers=caller)
    assert (answer.status_code, answer.json()["message"]) == (403, "missing scope: token.manage")
    answer = await fs_registry.http.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (401, "X07REG_AUTH_REQUIRED")
    answer = await fs_registry.http.request(method, path, headers=bearer("x07t_unknown"))
    assert (answer.status_code, answer.json()["code"]) == (401, "X07REG_AUTH_INVALID")


async def test_tokens_made_at_once_are_all_different(fs_registry: Registry) -> None:
    """Twenty at a time."""
    manager = await fs_registry.add_publisher("alice", "token.manage", "publish")
    created = await asyncio.gather(*(create(fs_registry, manager, label=str(n)) for n in range(20)))
    assert len({token["token"] for token in created}) == 20
    assert len(await listed(fs_registry, manager)) == 21


async def test_a_secret_that_exists_is_never_given_twice(fs_registry: Registry) -> None:
    """256 random bits do not repeat; if they did, nothing would be written."""
    user_id = await fs_registry.add_user("alice")
    secret = await fs_registry.add_token(user_id, "publish")
    caller = Principal(user_id, "alice", None, ("publish",), True)
    with pytest.raises(TokenGenerationFailed):
        await create_token(fs_registry, caller, "", [], secret)  # type: ignore[arg-type]
    assert await events(fs_registry) == []


async def test_bodies_that_do_not_parse_are_refused_in_json(fs_registry: Registry) -> None:
    """The type, the size or the syntax is wrong; the connection continues, and no token is created."""
    admin = await fs_registry.add_publisher("root", *ALL_SCOPES)
    for content_type, content, status, code in (
        ("text/plain", b"{}", 415, "X07REG_UNSUPPORTED_MEDIA_TYPE"),
        ("application/json", b'{"label":"' + b"x" * (3 << 20) + b'"}', 413, "X07REG_PAYLOAD_TOO_LARGE"),
        ("application/json", b"", 400, "X07REG_BAD_REQUEST"),
        ("application/json", b"{\xff}", 400, "X07REG_BAD_REQUEST"),
        ("application/json", b'{"label":"\\ud800"}', 400, "X07REG_BAD_REQUEST"),
        ("application/json", b'{"label":"a","label":"b"}', 422, "X07REG_UNPROCESSABLE_BODY"),
    ):
        headers = admin | {"content-type": content_type}
        answer = await fs_registry.http.post("/v1/tokens", content=content, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert len(await listed(fs_registry, admin)) == 1
