"""Names of new packages: the allowed ones; existing packages keep theirs."""

from __future__ import annotations

import asyncio

import httpx
import pytest
import pytest_asyncio

from shared.settings import Settings
from tests.archives import hello_archive
from tests.conftest import MakeSettings
from tests.stack import Registry, running_registry

RESERVED, SIMILAR = (409, "X07REG_NAME_RESERVED"), (409, "X07REG_NAME_TOO_SIMILAR")
ALL = ("publish", "owner.manage")


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of an error."""
    return answer.status_code, answer.json()["code"]


async def add_package(registry: Registry, name: str, handle: str) -> None:
    """Insert a package from before the rules; its owner is a user with this handle."""
    await registry.rows(
        """
        WITH owner AS (SELECT id FROM users WHERE handle = :handle), made AS (
            INSERT INTO packages (name, created_by) SELECT :name, id FROM owner RETURNING id
        )
        INSERT INTO package_owners (package_id, user_id) SELECT made.id, owner.id FROM made, owner RETURNING 1
        """,
        name=name,
        handle=handle,
    )


async def test_devices_of_windows_and_routes_are_no_new_names(fs_registry: Registry) -> None:
    """Not even admins may publish them, and nothing is written."""
    headers = await fs_registry.add_publisher("alice", "publish", "admin")
    for name in ("con", "prn", "aux", "nul", "com1", "com9", "com0", "lpt1", "lpt9", "publish"):
        answer = await fs_registry.publish(hello_archive(name), headers)
        assert refusal(answer) == RESERVED, name
        assert f'"{name}"' in answer.json()["message"]
    assert await fs_registry.rows("SELECT 1 FROM packages") == []
    assert await fs_registry.keys("staging/") == []


async def test_names_that_only_begin_like_reserved_ones_are_free(fs_registry: Registry) -> None:
    """Only the whole name is a device."""
    headers = await fs_registry.add_publisher()
    for name in ("cons", "com", "com10", "com1-x", "nul_", "lpt", "publisher", "x-con"):
        answer = await fs_registry.publish(hello_archive(name), headers)
        assert answer.status_code == 200, answer.text


async def test_no_route_hides_a_package_whose_name_is_free(fs_registry: Registry) -> None:
    """Every static segment is reserved where a path has a package's name."""
    paths = (await fs_registry.http.get("/openapi/openapi.json")).json()["paths"]
    segments = {path.split("/")[3] for path in paths if path.startswith(("/v1/packages/", "/v1/packs/"))}
    assert "publish" in segments
    headers = await fs_registry.add_publisher()
    for name in sorted(segments - {"{name}"}):
        assert refusal(await fs_registry.publish(hello_archive(name), headers)) == RESERVED, name


@pytest.mark.parametrize(
    ("there", "asked"),
    [
        ("foo-bar", "foo_bar"),
        ("foo-bar", "foo--bar"),
        ("foo_bar", "foo-bar"),
        ("foo-bar", "foo-_-bar"),
        ("a-b-c", "a_b-c"),
        ("foo-", "foo_"),
    ],
)
async def test_a_new_name_that_looks_like_somebody_elses_is_refused(
    fs_registry: Registry, there: str, asked: str
) -> None:
    """The answer names the other package; nothing is written, and the other's owner may publish the name."""
    alice = await fs_registry.add_publisher("alice")
    mallory = await fs_registry.add_publisher("mallory")
    assert (await fs_registry.publish(hello_archive(there), alice)).status_code == 200
    answer = await fs_registry.publish(hello_archive(asked), mallory)
    assert refusal(answer) == SIMILAR
    assert f'"{there}"' in answer.json()["message"]
    assert await fs_registry.keys("staging/") == []
    assert (await fs_registry.http.get(f"/v1/packages/{asked}")).status_code == 404
    assert (await fs_registry.publish(hello_archive(asked), alice)).status_code == 200
    version = await fs_registry.publish(hello_archive(asked, version="0.2.0"), mallory)
    assert refusal(version) == (403, "X07REG_FORBIDDEN")


@pytest.mark.parametrize(
    ("there", "asked"), [("foo-bar", "foobar"), ("foo-bar", "foo-bar2"), ("foo", "foo-"), ("ab-c", "a-bc")]
)
async def test_other_names_are_not_too_similar(fs_registry: Registry, there: str, asked: str) -> None:
    """Only runs of `-` and `_` count as one character; their absence does not."""
    await fs_registry.publish(hello_archive(there), await fs_registry.add_publisher("alice"))
    answer = await fs_registry.publish(hello_archive(asked), await fs_registry.add_publisher("bob"))
    assert answer.status_code == 200, answer.text


async def test_an_admin_and_who_became_an_owner_of_the_other_may(fs_registry: Registry) -> None:
    """The owners at the time of the publish count."""
    alice = await fs_registry.add_publisher("alice", *ALL)
    bob, root = (
        await fs_registry.add_publisher("bob"),
        await fs_registry.add_publisher("root", "publish", "admin"),
    )
    await fs_registry.publish(hello_archive("foo-bar"), alice)
    assert refusal(await fs_registry.publish(hello_archive("foo_bar"), bob)) == SIMILAR
    added = await fs_registry.http.post("/v1/packages/foo-bar/owners", json={"handle": "bob"}, headers=alice)
    assert added.status_code == 200
    assert (await fs_registry.publish(hello_archive("foo_bar"), bob)).status_code == 200
    assert (await fs_registry.publish(hello_archive("foo__bar"), root)).status_code == 200


async def test_names_that_exist_stay(fs_registry: Registry) -> None:
    """This includes reserved ones, and look-alikes of different owners; a third needs an owner of all."""
    people = {name: await fs_registry.add_publisher(name) for name in ("alice", "bob", "carol")}
    for name, owner in (("con", "alice"), ("publish", "alice"), ("foo-bar", "alice"), ("foo_bar", "bob")):
        await add_package(fs_registry, name, owner)
        answer = await fs_registry.publish(hello_archive(name), people[owner])
        assert answer.status_code == 200, answer.text
    for who, other in (("alice", "foo_bar"), ("bob", "foo-bar"), ("carol", "foo-bar")):
        answer = await fs_registry.publish(hello_archive("foo--bar"), people[who])
        assert refusal(answer) == SIMILAR
        assert f'"{other}"' in answer.json()["message"]
    await fs_registry.rows(
        "INSERT INTO package_owners (package_id, user_id) SELECT p.id, u.id FROM packages p, users u "
        "WHERE p.name = 'foo_bar' AND u.handle = 'alice' RETURNING 1"
    )
    assert (await fs_registry.publish(hello_archive("foo--bar"), people["alice"])).status_code == 200


LOOK_ALIKES = ("foo-bar", "foo_bar", "foo--bar", "foo__bar")


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_of_look_alikes_published_at_once_one_is_taken(make_settings: MakeSettings) -> None:
    """Different people publish them, through two write processes, in one batch and in several."""
    settings = await make_settings()
    async with (
        running_registry(settings) as first,
        running_registry(settings, with_worker=False) as second,
    ):
        people = [await first.add_publisher(f"person-{number}") for number in range(len(LOOK_ALIKES))]
        for round_number in range(8):
            names = [name.replace("foo", f"foo{round_number}") for name in LOOK_ALIKES]
            answers = await asyncio.gather(
                *(
                    (first, second)[place % 2].publish(hello_archive(name), headers)
                    for place, (name, headers) in enumerate(zip(names, people, strict=True))
                )
            )
            assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
            assert {refusal(answer) for answer in answers if answer.status_code != 200} == {SIMILAR}
            taken = await first.rows(
                "SELECT name FROM packages WHERE name LIKE :names", names=f"foo{round_number}%"
            )
            assert len(taken) == 1


async def test_look_alikes_of_one_person_published_at_once_are_all_taken(fs_registry: Registry) -> None:
    """They come in rounds of one batch, and the second one sees the owner of the first."""
    headers = await fs_registry.add_publisher()
    answers = await asyncio.gather(
        *(fs_registry.publish(hello_archive(name), headers) for name in LOOK_ALIKES)
    )
    assert [answer.status_code for answer in answers] == [200] * len(LOOK_ALIKES)


@pytest_asyncio.fixture
async def kept_settings(make_settings: MakeSettings) -> Settings:
    """Settings with two namespaces that are reserved."""
    return await make_settings(
        verified_namespaces="x07,x07-ext,ext", namespace_owners="x07:alice+bob, x07-ext:Carol"
    )


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_first_version_below_a_kept_namespace_is_for_its_owners(kept_settings: Settings) -> None:
    """The namespace itself, names below it and look-alikes; the longest namespace decides."""
    async with running_registry(kept_settings) as registry:
        people = {name: await registry.add_publisher(name) for name in ("alice", "bob", "carol", "mallory")}
        for name, allowed in (
            ("x07", "alice"),
            ("x07-core", "bob"),
            ("x07_net", "alice"),
            ("x07-ext", "carol"),
            ("x07--ext_fs", "carol"),
        ):
            for who in sorted(
                people.keys() - ({"alice", "bob"} if allowed in ("alice", "bob") else {"carol"})
            ):
                answer = await registry.publish(hello_archive(name), people[who])
                assert refusal(answer) == (403, "X07REG_FORBIDDEN"), (name, who)
                assert '"x07' in answer.json()["message"]
            assert (await registry.publish(hello_archive(name), people[allowed])).status_code == 200
        for name in ("x07lang", "x0", "ext-x07", "ext-fs"):
            answer = await registry.publish(hello_archive(name), people["mallory"])
            assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_package_below_a_kept_namespace_stays_its_owners(kept_settings: Settings) -> None:
    """Owners of the package publish later versions; admins may publish first versions everywhere."""
    async with running_registry(kept_settings) as registry:
        mallory = await registry.add_publisher("mallory")
        await add_package(registry, "x07-older", "mallory")
        assert (await registry.publish(hello_archive("x07-older"), mallory)).status_code == 200
        root = await registry.add_publisher("root", "publish", "admin")
        assert (await registry.publish(hello_archive("x07-new"), root)).status_code == 200


async def test_without_the_setting_namespaces_are_advisory(fs_registry: Registry) -> None:
    """As in the contract: anybody may publish the first version of an x07-… name."""
    answer = await fs_registry.publish(hello_archive("x07-first"), await fs_registry.add_publisher())
    assert answer.status_code == 200
