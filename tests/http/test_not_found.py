"""A 404 says what does not exist."""

from __future__ import annotations

from uuid import uuid4

import httpx

from tests.archives import hello_archive
from tests.stack import Registry

MISSING_VERSION = 'version "9.9.9" of package "hello" not found'
MISSING_PACKAGE = 'package "nothing" not found'


async def message_of(answer: httpx.Response, code: str = "X07REG_NOT_FOUND") -> str:
    """The message of a 404."""
    assert (answer.status_code, answer.json()["code"]) == (404, code), answer.text
    return str(answer.json()["message"])


NOT_THERE = [
    ("/index/no/th/nothing", MISSING_PACKAGE),
    ("/v1/packages/nothing/1.0.0/download", 'version "1.0.0" of package "nothing" not found'),
    ("/v1/packages/hello/9.9.9/download", MISSING_VERSION),
    ("/v1/packages/hello/9.9.9/metadata", MISSING_VERSION),
    ("/v1/packages/nothing", MISSING_PACKAGE),
    ("/v1/packages/nothing/owners", MISSING_PACKAGE),
    ("/v1/packages/nothing/dependents", MISSING_PACKAGE),
    ("/v1/packages/nothing/1.0.0/advisories", 'version "1.0.0" of package "nothing" not found'),
    ("/v1/packages/hello/9.9.9/advisories", MISSING_VERSION),
    ("/v1/archetypes/nothing", "archetype not found"),
    ("/log/checkpoint", 'path "/log/checkpoint" not found'),
    ("/log/nothing", 'path "/log/nothing" not found'),
    ("/nothing/here", 'path "/nothing/here" not found'),
    ("/v1/n%6Fthing%20%C3%A9", 'path "/v1/nothing é" not found'),
    (f"/v1/{'n' * 500}", f'path "/v1/{"n" * 252}"… not found'),
    (f"/v1/packages/{'n' * 500}", f'package "{"n" * 256}"… not found'),
]


async def test_what_is_read_and_not_there_is_named(fs_registry: Registry) -> None:
    """The message has its kind and name as requested; a long one is cut."""
    published = await fs_registry.publish(hello_archive(), await fs_registry.add_publisher())
    assert published.status_code == 200
    for path, message in NOT_THERE:
        code = "X07REG_INDEX_NOT_FOUND" if path.startswith("/index/") else "X07REG_NOT_FOUND"
        assert await message_of(await fs_registry.http.get(path), code) == message


async def test_what_is_changed_and_not_there_is_named(fs_registry: Registry) -> None:
    """For example, the yank of a misspelt version."""
    headers = await fs_registry.add_publisher("alice", "publish", "owner.manage", "token.manage")
    assert (await fs_registry.publish(hello_archive(), headers)).status_code == 200
    yank = {"yanked": True}
    advisory = {"kind": "broken", "severity": "high", "summary": "x"}
    evidence = {"evidence_ref": "https://x07.io/e.json"}
    for path, body, message in (
        ("/v1/packages/nothing/1.0.0/yank", yank, MISSING_PACKAGE),
        ("/v1/packages/hello/9.9.9/yank", yank, MISSING_VERSION),
        ("/v1/packages/hello/9.9.9/advisories", advisory, MISSING_VERSION),
        (f"/v1/packages/hello/0.1.0/advisories/{uuid4()}/withdraw", {}, "advisory not found"),
        ("/v1/packs/hello/versions/9.9.9/scale-evidence", evidence, MISSING_VERSION),
        (f"/v1/tokens/{uuid4()}/revoke", {}, "token not found"),
    ):
        answer = await fs_registry.http.post(path, json=body, headers=headers)
        assert await message_of(answer) == message, path
