"""Scale evidence over HTTP: it is set once, and appears in the metadata at once."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from tests.archives import hello_archive
from tests.audit import Event, events
from tests.stack import Registry

PATH = "/v1/packs/hello/versions/0.1.0/scale-evidence"
EVIDENCE = "https://x07.io/evidence/hello.json"


async def published(registry: Registry, **meta: Any) -> dict[str, str]:
    """Publish `hello` with these scale fields. Returns the owner's headers."""
    headers = await registry.add_publisher("alice", "publish")
    archive = hello_archive(meta={"x07c_compat": ">=0.1.111 <0.3.0"} | meta)
    answer = await registry.publish(archive, headers)
    assert answer.status_code == 200, answer.text
    return headers


async def put(registry: Registry, headers: dict[str, str], reference: Any = EVIDENCE) -> httpx.Response:
    """The answer to setting evidence."""
    return await registry.http.post(PATH, json={"evidence_ref": reference}, headers=headers)


async def metadata(registry: Registry) -> dict[str, Any]:
    """The version's metadata as readers see it."""
    document: dict[str, Any] = (await registry.http.get("/v1/packages/hello/0.1.0/metadata")).json()
    return document


async def test_evidence_is_in_the_metadata_at_once(fs_registry: Registry) -> None:
    """It is normalised in answer, row, metadata and audit log; the metadata's ETag changes."""
    alice = await published(fs_registry, scale_classes_supported=["Small", "large"])
    before = await fs_registry.http.get("/v1/packages/hello/0.1.0/metadata")

    answer = await put(fs_registry, alice, " HTTPS://X07.io:443/evidence/./hello.json ")

    assert (answer.status_code, answer.headers["x-x07-index-published"]) == (200, "true")
    assert answer.content == (
        b'{"ok":true,"name":"hello","version":"0.1.0","scale_classes_supported":["large","small"],'
        b'"scale_tested":true,"scale_test_evidence_ref":"https://x07.io/evidence/hello.json"}'
    )
    after = await fs_registry.http.get("/v1/packages/hello/0.1.0/metadata")
    assert after.json() == before.json() | {"scale_tested": True, "scale_test_evidence_ref": EVIDENCE}
    assert after.headers["etag"] != before.headers["etag"]
    (row,) = await fs_registry.rows("SELECT scale_tested, scale_test_evidence_ref FROM package_versions")
    assert tuple(row) == (True, EVIDENCE)
    assert await events(fs_registry) == [
        Event("alice", "scale_evidence", "hello", "0.1.0", {"evidence_ref": EVIDENCE})
    ]


async def test_the_same_evidence_again_changes_nothing(fs_registry: Registry) -> None:
    """In any spelling it gives the same answer, no event and no new generation."""
    alice = await published(fs_registry)
    first = await put(fs_registry, alice)
    generation = await fs_registry.rows("SELECT generation FROM index_state")
    again = await put(
        fs_registry, alice, EVIDENCE.upper().replace("EVIDENCE/HELLO.JSON", "a/../evidence/hello.json")
    )
    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers["x-x07-index-published"] == "true"
    assert await fs_registry.rows("SELECT generation FROM index_state") == generation
    assert len(await events(fs_registry)) == 1


async def test_evidence_is_never_replaced(fs_registry: Registry) -> None:
    """Another reference gives 409, also if the evidence came with the manifest."""
    alice = await published(fs_registry, scale_test_evidence_ref=EVIDENCE)
    answer = await put(fs_registry, alice, f"{EVIDENCE}x")
    assert (answer.status_code, answer.json()["code"]) == (409, "X07REG_CONFLICT")
    assert answer.json()["message"] == "scale evidence already set for this version"
    assert (await put(fs_registry, alice)).status_code == 200
    assert (await metadata(fs_registry))["scale_test_evidence_ref"] == EVIDENCE
    assert await events(fs_registry) == []


async def test_of_two_references_at_once_one_wins(fs_registry: Registry) -> None:
    """Readers see the winner's."""
    alice = await published(fs_registry)
    references = [f"{EVIDENCE}{number}" for number in range(4)]
    answers = await asyncio.gather(*(put(fs_registry, alice, reference) for reference in references))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    (won,) = [answer.json() for answer in answers if answer.status_code == 200]
    assert (await metadata(fs_registry))["scale_test_evidence_ref"] == won["scale_test_evidence_ref"]
    assert len(await events(fs_registry)) == 1


REFUSED = [
    "",
    "  ",
    "hello",
    "/evidence",
    "http://x07.io/e",
    "ftp://x07.io/e",
    "https://x07.io/e?",
    "https://x07.io/e#",
    "https://me@x07.io/e",
    "https://x07.io:444/e",
    "https://localhost/e",
    "https://127.0.0.1/e",
    "https://2130706433/e",
    "https://[::1]/e",
    "https://x07.io.evil.example/e",
    "https://notx07.io/e",
    "s3://bucket",
    "s3:///key",
    f"https://x07.io/{'e' * 2048}",
    "https://x07.io\0/e",
]


async def test_a_reference_that_is_not_allowed_is_refused(fs_registry: Registry) -> None:
    """It is refused before the package is looked up; nothing is written."""
    alice = await published(fs_registry)
    for reference in REFUSED:
        answer = await put(fs_registry, alice, reference)
        assert (answer.status_code, answer.json()["code"]) == (400, "X07REG_INVALID_SCALE_EVIDENCE"), (
            reference
        )
        answer = await fs_registry.http.post(
            PATH.replace("hello", "nothing"), json={"evidence_ref": reference}, headers=alice
        )
        assert answer.json()["code"] == "X07REG_INVALID_SCALE_EVIDENCE"
        assert "scale_test_evidence_ref" not in await metadata(fs_registry)


async def test_an_s3_reference_is_allowed(fs_registry: Registry) -> None:
    """Without a list of buckets, any bucket is allowed."""
    alice = await published(fs_registry)
    assert (await put(fs_registry, alice, "s3://Bucket/key")).json()[
        "scale_test_evidence_ref"
    ] == "s3://Bucket/key"


async def test_only_owners_and_admins_set_evidence(fs_registry: Registry) -> None:
    """The refusal does not reveal whether the version exists."""
    await published(fs_registry)
    mallory = await fs_registry.add_publisher("mallory", "publish")
    root = await fs_registry.add_publisher("root", "admin", "publish")
    for path in (PATH, PATH.replace("0.1.0", "9.9.9")):
        answer = await fs_registry.http.post(path, json={"evidence_ref": EVIDENCE}, headers=mallory)
        assert (answer.status_code, answer.json()["message"]) == (403, "not a package owner")
    assert (await put(fs_registry, root)).status_code == 200


NOT_THERE = [
    ("nothing", "0.1.0", 404, "X07REG_NOT_FOUND"),
    ("hello", "0.1.1", 404, "X07REG_NOT_FOUND"),
    ("Hello", "x", 400, "X07REG_INVALID_NAME"),
    ("hello", "x", 400, "X07REG_INVALID_VERSION"),
]


async def test_what_is_not_there_gets_no_evidence(fs_registry: Registry) -> None:
    """Checks come in the order: name, version, package, version of the package."""
    alice = await published(fs_registry)
    for name, version, status, code in NOT_THERE:
        path = f"/v1/packs/{name}/versions/{version}/scale-evidence"
        answer = await fs_registry.http.post(path, json={"evidence_ref": EVIDENCE}, headers=alice)
        assert (answer.status_code, answer.json()["code"]) == (status, code), path


MISSHAPEN = [{}, {"evidence_ref": None}, {"evidence_ref": 1}, [EVIDENCE]]


async def test_a_body_of_another_shape_is_422(fs_registry: Registry) -> None:
    """The reference is a required string."""
    alice = await fs_registry.add_publisher("alice")
    for body in MISSHAPEN:
        answer = await fs_registry.http.post(PATH, json=body, headers=alice)
        assert (answer.status_code, answer.json()["code"]) == (422, "X07REG_UNPROCESSABLE_BODY")


async def test_evidence_needs_a_token_that_may_publish(fs_registry: Registry) -> None:
    """`owner.manage`, `admin` and a cookie are not enough."""
    caller = await fs_registry.add_publisher("alice", "admin", "owner.manage", "token.manage")
    answer = await put(fs_registry, caller)
    assert (answer.status_code, answer.json()["message"]) == (403, "missing scope: publish")
    for headers in ({}, {"cookie": "x07_session=x07s_1"}):
        answer = await put(fs_registry, headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "X07REG_AUTH_REQUIRED")
