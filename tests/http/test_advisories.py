"""Advisories over HTTP: in the index while in force, withdrawn for good."""

from __future__ import annotations

import asyncio
import re
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from tests.archives import hello_archive
from tests.audit import Event, events
from tests.stack import Registry

PATH = "/v1/packages/hello/0.1.0/advisories"
BROKEN = {"kind": "broken", "severity": "high", "summary": "Does not start."}
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3}|\.\d{6})?Z")


async def published(registry: Registry, *versions: str) -> dict[str, str]:
    """Headers of the owner of package `hello` with these versions."""
    headers = await registry.add_publisher("alice", "publish", "owner.manage")
    for version in versions or ("0.1.0",):
        answer = await registry.publish(hello_archive(version=version), headers)
        assert answer.status_code == 200, answer.text
    return headers


async def create(registry: Registry, headers: dict[str, str], **fields: Any) -> dict[str, Any]:
    """An advisory that was made."""
    answer = await registry.http.post(PATH, json=BROKEN | fields, headers=headers)
    assert answer.status_code == 200, answer.text
    advisory: dict[str, Any] = answer.json()["advisory"]
    return advisory


async def withdraw(registry: Registry, headers: dict[str, str], advisory_id: str) -> httpx.Response:
    """The answer to a withdrawal."""
    return await registry.http.post(f"{PATH}/{advisory_id}/withdraw", headers=headers)


async def listed(registry: Registry) -> list[dict[str, Any]]:
    """Every advisory of the version."""
    advisories: list[dict[str, Any]] = (await registry.http.get(PATH)).json()["advisories"]
    return advisories


async def in_index(registry: Registry) -> dict[str, list[dict[str, Any]]]:
    """The advisories of each version in the index file; versions without the field are not in it."""
    lines = (await registry.http.get("/index/he/ll/hello")).text.splitlines()
    entries = [httpx.Response(200, text=line).json() for line in lines]
    return {entry["version"]: entry["advisories"] for entry in entries if "advisories" in entry}


async def test_an_advisory_is_in_the_index_until_it_is_withdrawn(fs_registry: Registry) -> None:
    """The whole effect of both: answers, index, list, rows, audit."""
    alice = await published(fs_registry, "0.1.0", "0.2.0")
    before = (await fs_registry.http.get("/index/he/ll/hello")).content
    fields = {"url": " https://x07.io/a?b=1#c ", "details": " Line one.\nLine \u201ctwo\u201d. "}

    answer = await fs_registry.http.post(PATH, json=BROKEN | fields, headers=alice)

    assert (answer.status_code, answer.headers["x-x07-index-published"]) == (200, "true")
    assert list(answer.json()) == ["ok", "advisory"]
    advisory = answer.json()["advisory"]
    assert advisory == {
        "schema_version": "x07.pkg.advisory@0.1.0",
        "id": str(UUID(advisory["id"])),
        "package": "hello",
        "version": "0.1.0",
        "kind": "broken",
        "severity": "high",
        "summary": "Does not start.",
        "url": "https://x07.io/a?b=1#c",
        "details": "Line one.\nLine \u201ctwo\u201d.",
        "created_at_utc": advisory["created_at_utc"],
    }
    assert MOMENT.fullmatch(advisory["created_at_utc"])
    assert await in_index(fs_registry) == {"0.1.0": [advisory]}
    assert list((await in_index(fs_registry))["0.1.0"][0]) == list(advisory)

    withdrawal = await withdraw(fs_registry, alice, advisory["id"])

    assert (withdrawal.status_code, withdrawal.headers["x-x07-index-published"]) == (200, "true")
    withdrawn = withdrawal.json()["advisory"]
    assert withdrawn == advisory | {"withdrawn_at_utc": withdrawn["withdrawn_at_utc"]}
    assert MOMENT.fullmatch(withdrawn["withdrawn_at_utc"])
    assert (await fs_registry.http.get("/index/he/ll/hello")).content == before
    assert await listed(fs_registry) == [withdrawn]
    (row,) = await fs_registry.rows(
        "SELECT c.handle AS creator, w.handle AS withdrawer FROM package_version_advisories a"
        " JOIN users c ON c.id = a.created_by JOIN users w ON w.id = a.withdrawn_by"
    )
    assert (row.creator, row.withdrawer) == ("alice", "alice")
    made = {
        "advisory_id": advisory["id"],
        "kind": "broken",
        "severity": "high",
        "summary": "Does not start.",
    }
    assert await events(fs_registry) == [
        Event("alice", "advisory_created", "hello", "0.1.0", made),
        Event("alice", "advisory_withdrawn", "hello", "0.1.0", {"advisory_id": advisory["id"]}),
    ]


async def test_withdrawing_again_returns_the_first_time(fs_registry: Registry) -> None:
    """No second event, no new generation; at once too."""
    alice = await published(fs_registry)
    advisory = await create(fs_registry, alice)
    answers = await asyncio.gather(*(withdraw(fs_registry, alice, advisory["id"]) for _ in range(6)))
    assert {answer.status_code for answer in answers} == {200}
    generation = await fs_registry.rows("SELECT generation FROM index_state")
    again = await withdraw(fs_registry, alice, advisory["id"].upper())
    assert again.headers["x-x07-index-published"] == "true"
    assert {answer.content for answer in answers} == {again.content}
    assert [event.action for event in await events(fs_registry)] == ["advisory_created", "advisory_withdrawn"]
    assert await fs_registry.rows("SELECT generation FROM index_state") == generation


async def test_absent_url_and_details_are_left_out(fs_registry: Registry) -> None:
    """So are null and blank ones."""
    alice = await published(fs_registry)
    for fields in ({}, {"url": None, "details": None}, {"url": " \t", "details": "\n"}):
        advisory = await create(fs_registry, alice, **fields)
        assert "url" not in advisory
        assert "details" not in advisory
    (row,) = await fs_registry.rows("SELECT DISTINCT url, details FROM package_version_advisories")
    assert tuple(row) == (None, "")


async def test_advisories_are_listed_newest_first_and_indexed_oldest_first(fs_registry: Registry) -> None:
    """Withdrawn ones are in the list only; another version has a list of its own."""
    alice = await published(fs_registry, "0.1.0", "0.2.0")
    made = [await create(fs_registry, alice, summary=f"number {number}") for number in range(4)]
    await withdraw(fs_registry, alice, made[1]["id"])
    answer = await fs_registry.http.get(PATH)
    assert list(answer.json()) == ["ok", "name", "version", "advisories"]
    assert [advisory["id"] for advisory in answer.json()["advisories"]] == [
        advisory["id"] for advisory in reversed(made)
    ]
    assert [advisory["id"] for advisory in (await in_index(fs_registry))["0.1.0"]] == [
        made[number]["id"] for number in (0, 2, 3)
    ]
    other = await fs_registry.http.get("/v1/packages/hello/0.2.0/advisories")
    assert other.content == b'{"ok":true,"name":"hello","version":"0.2.0","advisories":[]}'


async def test_advisories_made_at_once_are_all_in_the_index(fs_registry: Registry) -> None:
    """One for each kind and severity, ten together."""
    alice = await published(fs_registry)
    kinds, severities = ("broken", "security", "deprecated"), ("low", "medium", "high", "critical")
    made = await asyncio.gather(
        *(
            create(fs_registry, alice, kind=kind, severity=severity)
            for kind in kinds
            for severity in severities
        )
    )
    indexed = (await in_index(fs_registry))["0.1.0"]
    assert sorted(advisory["id"] for advisory in indexed) == sorted(advisory["id"] for advisory in made)
    assert {(one["kind"], one["severity"]) for one in indexed} == {(k, s) for k in kinds for s in severities}


UNFIT = [
    {"summary": ""},
    {"summary": " \n\u3000"},
    {"summary": "x" * 513},
    {"details": "x" * 65_537},
    {"details": "\u20ac" * 21_846},
    {"url": "javascript:alert(1)"},
    {"url": "JAVASCRIPT://x07.io/%0aalert(1)"},
    {"url": "java\nscript:alert(1)"},
    {"url": "data:text/html,x"},
    {"url": "ftp://x07.io/a"},
    {"url": "//x07.io/a"},
    {"url": "/a"},
    {"url": "https:x07.io"},
    {"url": "https://"},
    {"url": "https://x07.io/a b"},
    {"url": "https://x07.io/\u0007"},
    {"url": 'https://x07.io/"onclick='},
    {"url": "https://[::1"},
    {"url": f"https://x07.io/{'a' * 2048}"},
]


async def test_text_that_readers_cannot_be_shown_is_refused(fs_registry: Registry) -> None:
    """Summary 1 to 512 characters, details to 65,536 bytes, url http or https; nothing is written."""
    alice = await published(fs_registry)
    for fields in UNFIT:
        answer = await fs_registry.http.post(PATH, json=BROKEN | fields, headers=alice)
        assert (answer.status_code, answer.json()["code"]) == (400, "X07REG_ADVISORY_INVALID"), fields
        assert await listed(fs_registry) == []
        assert await events(fs_registry) == []


async def test_the_longest_text_is_stored_whole(fs_registry: Registry) -> None:
    """Lengths count after trimming."""
    alice = await published(fs_registry)
    url = "HTTP://x07.io/" + "a" * 2034
    fields = {"summary": " " + "\u20ac" * 512 + " ", "details": "d" * 65_536, "url": url}
    advisory = await create(fs_registry, alice, **fields)
    assert (advisory["summary"], advisory["details"]) == ("\u20ac" * 512, fields["details"])
    assert (await in_index(fs_registry))["0.1.0"] == [advisory]


MISSHAPEN = [
    {"kind": "evil"},
    {"kind": "Broken"},
    {"severity": "none"},
    {"severity": None},
    {"summary": None},
    {"summary": 7},
    {"url": 7},
    {"details": ["x"]},
    {"summary": "a\0b"},
    {"details": "a\0b"},
    {"url": "https://x07.io/\0"},
]


async def test_a_body_of_another_shape_is_422(fs_registry: Registry) -> None:
    """An unknown kind or severity, a wrong type, NUL."""
    alice = await published(fs_registry)
    for fields in MISSHAPEN:
        answer = await fs_registry.http.post(PATH, json=BROKEN | fields, headers=alice)
        assert (answer.status_code, answer.json()["code"]) == (422, "X07REG_UNPROCESSABLE_BODY"), fields
        assert await listed(fs_registry) == []


REQUIRED = ["kind", "severity", "summary"]


async def test_a_missing_field_is_422_and_named(fs_registry: Registry) -> None:
    """Only url and details are optional."""
    alice = await fs_registry.add_publisher("alice", "owner.manage")
    for missing in REQUIRED:
        body = {key: value for key, value in BROKEN.items() if key != missing}
        answer = await fs_registry.http.post(PATH, json=body, headers=alice)
        assert (answer.status_code, answer.json()["code"]) == (422, "X07REG_UNPROCESSABLE_BODY"), missing
        assert missing in answer.json()["message"]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/packages/nothing/0.1.0/advisories", 404, "X07REG_NOT_FOUND"),
        ("/v1/packages/hello/0.1.1/advisories", 404, "X07REG_NOT_FOUND"),
        ("/v1/packages/Hello/1/advisories", 400, "X07REG_INVALID_NAME"),
        ("/v1/packages/hello/1/advisories", 400, "X07REG_INVALID_VERSION"),
    ],
)
async def test_what_is_not_there_has_no_advisories(
    fs_registry: Registry, path: str, status: int, code: str
) -> None:
    """To list, to make, to withdraw."""
    alice = await published(fs_registry)
    for answer in (
        await fs_registry.http.get(path),
        await fs_registry.http.post(path, json=BROKEN, headers=alice),
        await fs_registry.http.post(f"{path}/{uuid4()}/withdraw", headers=alice),
    ):
        assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_checks_come_in_the_order_of_the_contract(fs_registry: Registry) -> None:
    """Summary, package, version, owner; to withdraw: UUID, name, version, package, owner, advisory."""
    alice = await published(fs_registry)
    mallory = await fs_registry.add_publisher("mallory", "owner.manage")
    advisory = await create(fs_registry, alice)
    blank = BROKEN | {"summary": " "}
    for path, body, code in (
        ("/v1/packages/nothing/0.1.0/advisories", blank, "X07REG_ADVISORY_INVALID"),
        ("/v1/packages/hello/x/advisories", blank, "X07REG_INVALID_VERSION"),
        ("/v1/packages/hello/9.9.9/advisories", BROKEN, "X07REG_NOT_FOUND"),
        (PATH, BROKEN, "X07REG_FORBIDDEN"),
        ("/v1/packages/Hello/x/advisories/1/withdraw", {}, "X07REG_BAD_REQUEST"),
        (f"/v1/packages/hello/9.9.9/advisories/{uuid4()}/withdraw", {}, "X07REG_NOT_FOUND"),
        (f"{PATH}/{uuid4()}/withdraw", {}, "X07REG_FORBIDDEN"),
        (f"{PATH}/{advisory['id']}/withdraw", {}, "X07REG_FORBIDDEN"),
    ):
        answer = await fs_registry.http.post(path, json=body, headers=mallory)
        assert answer.json()["code"] == code, path
    assert await listed(fs_registry) == [advisory]


async def test_an_advisory_is_withdrawn_by_the_path_of_its_own_version_only(fs_registry: Registry) -> None:
    """An admin may withdraw what an owner made."""
    alice = await published(fs_registry, "0.1.0", "0.2.0")
    root = await fs_registry.add_publisher("root", "admin", "owner.manage")
    advisory = await create(fs_registry, alice)
    for path in (f"/v1/packages/hello/0.2.0/advisories/{advisory['id']}", f"{PATH}/{uuid4()}"):
        answer = await fs_registry.http.post(f"{path}/withdraw", headers=alice)
        assert (answer.status_code, answer.json()["code"]) == (404, "X07REG_NOT_FOUND")
    assert (await withdraw(fs_registry, root, advisory["id"])).status_code == 200


async def test_a_stored_advisory_that_is_corrupt_is_not_guessed_at(fs_registry: Registry) -> None:
    """A kind that is none: 500 with a code of its own, for a row that an old server let in."""
    alice = await published(fs_registry)
    await create(fs_registry, alice)
    async with fs_registry.database.transaction() as tx:
        for (name,) in await tx.exec_driver_sql(
            "SELECT conname FROM pg_constraint WHERE contype = 'c'"
            " AND conrelid = 'package_version_advisories'::regclass"
        ):
            await tx.exec_driver_sql(f'ALTER TABLE package_version_advisories DROP CONSTRAINT "{name}"')
        await tx.exec_driver_sql("UPDATE package_version_advisories SET kind = 'evil'")
    answer = await fs_registry.http.get(PATH)
    assert (answer.status_code, answer.json()["code"]) == (500, "X07REG_DB_CORRUPT")


async def test_advisories_need_their_scope(fs_registry: Registry) -> None:
    """Admin does not imply it; everybody may list."""
    caller = await fs_registry.add_publisher("alice", "admin", "publish", "token.manage")
    for path in (PATH, f"{PATH}/{uuid4()}/withdraw"):
        answer = await fs_registry.http.post(path, json=BROKEN, headers=caller)
        assert (answer.status_code, answer.json()["message"]) == (403, "missing scope: owner.manage")
        answer = await fs_registry.http.post(path, json=BROKEN)
        assert (answer.status_code, answer.json()["code"]) == (401, "X07REG_AUTH_REQUIRED")
