"""Advisories over HTTP: in the index while in force, and withdrawn permanently."""

from __future__ import annotations

import asyncio
import re
from typing import Any
from uuid import UUID, uuid4

import httpx

from tests.audit import Event, events
from tests.http.publishing import published
from tests.stack import Registry

PATH = "/v1/packages/hello/0.1.0/advisories"
BROKEN = {"kind": "broken", "severity": "high", "summary": "Does not start."}
MAX_IN_FORCE, MAX_EVER = 16, 100
TOO_MANY = (409, "X07REG_TOO_MANY_ADVISORIES")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3}|\.\d{6})?Z")


async def create(registry: Registry, headers: dict[str, str], **fields: Any) -> dict[str, Any]:
    """Create an advisory and return it."""
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
    """The advisories of each version in the index file; versions without the field are omitted."""
    lines = (await registry.http.get("/index/he/ll/hello")).text.splitlines()
    entries = [httpx.Response(200, text=line).json() for line in lines]
    return {entry["version"]: entry["advisories"] for entry in entries if "advisories" in entry}


async def test_an_advisory_is_in_the_index_until_it_is_withdrawn(fs_registry: Registry) -> None:
    """Both changes are checked in answers, index, list, rows and audit log."""
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
    """There is no second event and no new generation, even with simultaneous requests."""
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
    """Null and blank values are left out too."""
    alice = await published(fs_registry)
    for fields in ({}, {"url": None, "details": None}, {"url": " \t", "details": "\n"}):
        advisory = await create(fs_registry, alice, **fields)
        assert "url" not in advisory
        assert "details" not in advisory
    (row,) = await fs_registry.rows("SELECT DISTINCT url, details FROM package_version_advisories")
    assert tuple(row) == (None, "")


async def test_advisories_are_listed_newest_first_and_indexed_oldest_first(fs_registry: Registry) -> None:
    """Withdrawn ones are only in the list; each version has its own list."""
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
    """There is one for each kind and severity, ten in all."""
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


async def test_a_version_has_a_bounded_number_of_advisories_in_force(fs_registry: Registry) -> None:
    """This includes simultaneous creation.

    Withdrawing one makes room, and other versions have their own limit.
    """
    alice = await published(fs_registry, "0.1.0", "0.2.0")
    answers = await asyncio.gather(
        *(fs_registry.http.post(PATH, json=BROKEN, headers=alice) for _ in range(MAX_IN_FORCE + 5))
    )
    refused = [answer for answer in answers if answer.status_code != 200]
    assert {(answer.status_code, answer.json()["code"]) for answer in refused} == {TOO_MANY}
    assert len(refused) == 5
    assert len((await in_index(fs_registry))["0.1.0"]) == MAX_IN_FORCE
    await withdraw(fs_registry, alice, (await listed(fs_registry))[0]["id"])
    await create(fs_registry, alice)
    answer = await fs_registry.http.post(PATH, json=BROKEN, headers=alice)
    assert (answer.status_code, answer.json()["code"]) == TOO_MANY
    other = await fs_registry.http.post(PATH.replace("0.1.0", "0.2.0"), json=BROKEN, headers=alice)
    assert other.status_code == 200


async def test_texts_of_advisories_in_force_are_bounded_together(fs_registry: Registry) -> None:
    """One with the longest details fits beside a few short ones, so the index line stays small."""
    alice = await published(fs_registry)
    longest = {"summary": "\u20ac" * 512, "details": '"' * 65_536, "url": "https://x.example/" + "a" * 2030}
    made = await create(fs_registry, alice, **longest)
    await create(fs_registry, alice)
    for details in ("x" * 5000, "x" * 65_536):
        answer = await fs_registry.http.post(PATH, json=BROKEN | {"details": details}, headers=alice)
        assert (answer.status_code, answer.json()["code"]) == TOO_MANY
        assert "bytes in total" in answer.json()["message"]
    assert len((await fs_registry.http.get("/index/he/ll/hello")).content) < 150_000
    await withdraw(fs_registry, alice, made["id"])
    await create(fs_registry, alice, details="x" * 65_536)


async def test_withdrawn_advisories_are_bounded_too(fs_registry: Registry) -> None:
    """They stay in the list, so their number must be limited."""
    alice = await published(fs_registry)
    await fs_registry.rows(
        "INSERT INTO package_version_advisories (package_id, version, kind, severity, summary, withdrawn_at) "
        "SELECT id, '0.1.0', 'broken', 'low', 'old', now() FROM packages, generate_series(1, :number) "
        "RETURNING 1",
        number=MAX_EVER - 1,
    )
    made = await create(fs_registry, alice)
    await withdraw(fs_registry, alice, made["id"])
    answer = await fs_registry.http.post(PATH, json=BROKEN, headers=alice)
    assert (answer.status_code, answer.json()["code"]) == TOO_MANY
    assert "withdrawn" in answer.json()["message"]


NOT_THERE = [
    ("/v1/packages/nothing/0.1.0/advisories", 404, "X07REG_NOT_FOUND"),
    ("/v1/packages/hello/0.1.1/advisories", 404, "X07REG_NOT_FOUND"),
    ("/v1/packages/Hello/1/advisories", 400, "X07REG_INVALID_NAME"),
    ("/v1/packages/hello/1/advisories", 400, "X07REG_INVALID_VERSION"),
]


async def test_what_is_not_there_has_no_advisories(fs_registry: Registry) -> None:
    """Listing, creating and withdrawing give a 404."""
    alice = await published(fs_registry)
    for path, status, code in NOT_THERE:
        for answer in (
            await fs_registry.http.get(path),
            await fs_registry.http.post(path, json=BROKEN, headers=alice),
            await fs_registry.http.post(f"{path}/{uuid4()}/withdraw", headers=alice),
        ):
            assert (answer.status_code, answer.json()["code"]) == (status, code), path


async def test_checks_come_in_the_order_of_the_contract(fs_registry: Registry) -> None:
    """Summary, package, version, owner; for withdrawals UUID, name, version, package, owner, advisory."""
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
    """An admin may withdraw an owner's advisory."""
    alice = await published(fs_registry, "0.1.0", "0.2.0")
    root = await fs_registry.add_publisher("root", "admin", "owner.manage")
    advisory = await create(fs_registry, alice)
    for path in (f"/v1/packages/hello/0.2.0/advisories/{advisory['id']}", f"{PATH}/{uuid4()}"):
        answer = await fs_registry.http.post(f"{path}/withdraw", headers=alice)
        assert (answer.status_code, answer.json()["code"]) == (404, "X07REG_NOT_FOUND")
    assert (await withdraw(fs_registry, root, advisory["id"])).status_code == 200


async def test_a_stored_advisory_that_is_corrupt_is_not_guessed_at(fs_registry: Registry) -> None:
    """A row from an old server has an invalid kind: readers keep the list that they have."""
    alice = await published(fs_registry)
    advisory = await create(fs_registry, alice)
    before = await fs_registry.http.get(PATH)
    async with fs_registry.database.transaction() as tx:
        for (name,) in await tx.exec_driver_sql(
            "SELECT conname FROM pg_constraint WHERE contype = 'c'"
            " AND conrelid = 'package_version_advisories'::regclass"
        ):
            await tx.exec_driver_sql(f'ALTER TABLE package_version_advisories DROP CONSTRAINT "{name}"')
        await tx.exec_driver_sql("UPDATE package_version_advisories SET kind = 'evil'")
    answer = await withdraw(fs_registry, alice, advisory["id"])
    assert (answer.status_code, answer.json()["code"]) == (500, "X07REG_DB_CORRUPT")
    assert (await fs_registry.http.get(PATH)).content == before.content


async def test_advisories_need_their_scope(fs_registry: Registry) -> None:
    """`admin` does not include the scope; everybody may list."""
    caller = await fs_registry.add_publisher("alice", "admin", "publish", "token.manage")
    for path in (PATH, f"{PATH}/{uuid4()}/withdraw"):
        answer = await fs_registry.http.post(path, json=BROKEN, headers=caller)
        assert (answer.status_code, answer.json()["message"]) == (403, "missing scope: owner.manage")
        answer = await fs_registry.http.post(path, json=BROKEN)
        assert (answer.status_code, answer.json()["code"]) == (401, "X07REG_AUTH_REQUIRED")
