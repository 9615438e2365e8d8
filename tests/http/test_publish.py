"""A publisher sends an archive, and soon every reader sees it."""

from __future__ import annotations

import hashlib
from base64 import b64decode

import pytest

from shared.signing import verify
from tests.archives import build_archive, hello_archive, hello_manifest, listed_files
from tests.stack import Registry, bearer


async def test_a_published_version_is_in_the_index_the_catalog_and_downloads(registry: Registry) -> None:
    """It checks the answer, every stored object, and what readers get."""
    archive = hello_archive()
    cksum = hashlib.sha256(archive).hexdigest()
    headers = await registry.add_publisher()

    answer = await registry.publish(archive, headers)

    assert answer.status_code == 200, answer.text
    assert answer.headers["x-x07-index-published"] == "true"
    assert (
        answer.content
        == (
            f'{{"ok":true,"name":"hello","version":"0.1.0","cksum":"{cksum}","index_path":"/index/he/ll/hello"}}'
        ).encode()
    )
    index = await registry.http.get("/index/he/ll/hello")
    assert index.status_code == 200
    assert index.headers["content-type"] == "application/x-ndjson"
    line = index.json()
    assert list(line)[:5] == ["schema_version", "name", "version", "cksum", "yanked"]
    assert (line["name"], line["version"], line["cksum"], line["yanked"]) == ("hello", "0.1.0", cksum, False)
    download = await registry.http.get("/v1/packages/hello/0.1.0/download")
    assert download.content == archive
    metadata = (await registry.http.get("/v1/packages/hello/0.1.0/metadata")).json()
    assert metadata["package"]["name"] == "hello"
    assert metadata["cksum"] == cksum
    await registry.until_in_catalog("hello", "0.1.0")
    await registry.until_keys(
        [
            "dl/hello/0.1.0/download",
            "dl/hello/0.1.0/metadata",
            "dl/hello/package",
            "index/catalog.json",
            "index/config.json",
            "index/he/ll/hello",
        ]
    )


async def test_what_was_read_revalidates_with_304_until_it_changes(registry: Registry) -> None:
    """RFC 9110, 13.1.2, for index file, catalog, configuration, metadata and archive."""
    headers = await registry.add_publisher()
    await registry.publish(hello_archive(), headers)
    await registry.until_in_catalog("hello", "0.1.0")
    paths = [
        "/index/he/ll/hello",
        "/index/catalog.json",
        "/index/config.json",
        "/v1/packages/hello/0.1.0/metadata",
        "/v1/packages/hello/0.1.0/download",
    ]
    etags = {path: (await registry.http.get(path)).headers["etag"] for path in paths}
    for path, etag in etags.items():
        again = await registry.http.get(path, headers={"if-none-match": etag})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    await registry.publish(hello_archive(version="0.2.0"), headers)
    changed = await registry.http.get(paths[0], headers={"if-none-match": etags[paths[0]]})
    assert changed.status_code == 200
    assert len(changed.text.splitlines()) == 2


async def test_a_signed_version_verifies_with_the_published_key(signing_registry: Registry) -> None:
    """As by the client's `pkg verify`: the key is config.json's, the message section 3.9's."""
    await signing_registry.until_configured()
    archive = hello_archive()
    await signing_registry.publish(archive, await signing_registry.add_publisher())
    config = (await signing_registry.http.get("/index/config.json")).json()
    signature = (await signing_registry.http.get("/index/he/ll/hello")).json()["signature"]
    keys = {key["id"]: b64decode(key["ed25519_pub"]) for key in config["signing"]["public_keys"]}
    assert config["signing"]["kind"] == signature["kind"] == "ed25519"
    assert verify(
        keys[signature["key_id"]],
        b64decode(signature["ed25519_sig"]),
        name="hello",
        version="0.1.0",
        sha256=hashlib.sha256(archive).hexdigest(),
    )


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_signature_does_not_cover_a_yank(signing_registry: Registry) -> None:
    """It covers name, version and checksum, so a signed line may have either value of `yanked`."""
    headers = await signing_registry.add_publisher("alice", "publish", "owner.manage")
    await signing_registry.publish(hello_archive(), headers)
    before = (await signing_registry.http.get("/index/he/ll/hello")).json()
    yanked = await signing_registry.http.post(
        "/v1/packages/hello/0.1.0/yank", json={"yanked": True}, headers=headers
    )
    assert yanked.status_code == 200, yanked.text
    after = (await signing_registry.http.get("/index/he/ll/hello")).json()
    assert (before["yanked"], after["yanked"]) == (False, True)
    assert after["signature"] == before["signature"]


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_the_index_lists_versions_in_semver_order_whatever_the_order_of_publishing(
    registry: Registry,
) -> None:
    """latest_version follows SemVer too, and pre-releases count."""
    headers = await registry.add_publisher()
    for version in ("0.10.0", "0.2.0", "1.0.0-rc.1", "0.1.0"):
        assert (await registry.publish(hello_archive(version=version), headers)).status_code == 200
    lines = (await registry.http.get("/index/he/ll/hello")).text.splitlines()
    assert [line.split('"version":"')[1].split('"')[0] for line in lines] == [
        "0.1.0",
        "0.2.0",
        "0.10.0",
        "1.0.0-rc.1",
    ]
    detail = (await registry.http.get("/v1/packages/hello")).json()
    assert detail["latest_version"] == "1.0.0-rc.1"
    assert [row["version"] for row in detail["versions"]] == ["1.0.0-rc.1", "0.10.0", "0.2.0", "0.1.0"]
    assert detail["owners"] == ["alice"]


async def test_the_longest_new_version_reaches_readers_and_a_longer_one_is_refused(
    registry: Registry,
) -> None:
    """A version is a folder's name; a longer one could be acknowledged but never served."""
    headers = await registry.add_publisher()
    longest = f"1.0.0-{'9' * 249}"
    answer = await registry.publish(hello_archive(version=f"{longest}9"), headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "X07REG_INVALID_VERSION")
    answer = await registry.publish(hello_archive(version=longest), headers)
    assert (answer.status_code, answer.headers["x-x07-index-published"]) == (200, "true")
    assert (await registry.http.get(f"/v1/packages/hello/{longest}/metadata")).status_code == 200
    assert (await registry.http.get(f"/v1/packages/hello/{longest}/download")).status_code == 200


async def test_white_space_around_the_module_root_is_no_part_of_it(fs_registry: Registry) -> None:
    """The older server trims it before it looks for modules; the stored manifest is unchanged."""
    archive = build_archive(hello_manifest(module_root=" modules\n"), listed_files(hello_manifest()))
    answer = await fs_registry.publish(archive, await fs_registry.add_publisher())
    assert answer.status_code == 200, answer.text
    metadata = (await fs_registry.http.get("/v1/packages/hello/0.1.0/metadata")).json()
    assert metadata["package"]["module_root"] == " modules\n"


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_version_is_published_once(registry: Registry) -> None:
    """The same version again is 409, with the same or other bytes, and changes nothing."""
    headers = await registry.add_publisher()
    first = hello_archive()
    await registry.publish(first, headers)
    for archive in (first, hello_archive(description="other bytes")):
        again = await registry.publish(archive, headers)
        assert (again.status_code, again.json()["code"]) == (409, "X07REG_ALREADY_PUBLISHED")
    assert (await registry.http.get("/v1/packages/hello/0.1.0/download")).content == first


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_only_an_owner_or_an_admin_publishes_to_a_package(registry: Registry) -> None:
    """An admin's token needs the publish scope too."""
    await registry.publish(hello_archive(), await registry.add_publisher("alice"))
    stranger = await registry.publish(hello_archive(version="0.2.0"), await registry.add_publisher("mallory"))
    assert (stranger.status_code, stranger.json()["code"]) == (403, "X07REG_FORBIDDEN")
    assert stranger.json()["message"] == "not a package owner"
    admin = await registry.add_publisher("root", "admin", "publish", verified=False)
    assert (await registry.publish(hello_archive(version="0.2.0"), admin)).status_code == 200


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_publisher_without_a_verified_email_is_refused(registry: Registry) -> None:
    """It is accepted if the setting is off or the token is an admin's."""
    answer = await registry.publish(hello_archive(), await registry.add_publisher("alice", verified=False))
    assert (answer.status_code, answer.json()["code"]) == (403, "X07REG_EMAIL_UNVERIFIED")


UNKNOWN: list[tuple[dict[str, str], str, str]] = [
    ({}, "X07REG_AUTH_REQUIRED", "missing Authorization header"),
    (
        {"authorization": "bearer x"},
        "X07REG_AUTH_REQUIRED",
        'the scheme is spelled "Bearer", not "bearer"',
    ),
    (
        {"authorization": "Bearer"},
        "X07REG_AUTH_REQUIRED",
        "the Authorization header has no token after Bearer",
    ),
    ({"cookie": "x07_session=x"}, "X07REG_AUTH_REQUIRED", "missing Authorization header"),
    (bearer("x07t_unknown"), "X07REG_AUTH_INVALID", "invalid token"),
]


async def test_publishing_needs_a_known_bearer_token(fs_registry: Registry) -> None:
    """Another scheme does not count, and neither does a cookie."""
    for headers, code, message in UNKNOWN:
        answer = await fs_registry.publish(hello_archive(), headers)
        assert (answer.status_code, answer.json()["code"], answer.json()["message"]) == (401, code, message)
        assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_revoked_token_and_a_missing_scope_are_refused(registry: Registry) -> None:
    """`admin` does not include `publish`."""
    user_id = await registry.add_user("alice")
    token = await registry.add_token(user_id, "admin", "token.manage")
    answer = await registry.publish(hello_archive(), bearer(token))
    assert (answer.status_code, answer.json()["message"]) == (403, "missing scope: publish")
    await registry.revoke(token)
    answer = await registry.publish(hello_archive(), bearer(token))
    assert (answer.status_code, answer.json()["message"]) == (401, "token revoked")


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_an_upload_over_the_limit_is_refused_before_it_is_read(registry: Registry) -> None:
    """Its content-length is checked, or its bytes if there is none."""
    headers = await registry.add_publisher()
    too_many = bytes(registry.settings.max_archive_bytes + 1)

    async def chunked() -> object:
        for start in range(0, len(too_many), 1 << 20):
            yield too_many[start : start + (1 << 20)]

    for content in (too_many, chunked()):
        answer = await registry.http.post("/v1/packages/publish", content=content, headers=headers)  # type: ignore[arg-type]
        assert (answer.status_code, answer.json()["code"]) == (400, "X07REG_BODY_TOO_LARGE")
    await registry.until_keys(["index/catalog.json", "index/config.json"])


async def test_a_publish_answers_even_if_no_worker_runs(workerless_registry: Registry) -> None:
    """The answer is 200, and its header says that readers do not see the version yet."""
    answer = await workerless_registry.publish(hello_archive(), await workerless_registry.add_publisher())
    assert (answer.status_code, answer.headers["x-x07-index-published"]) == (200, "false")
    assert await workerless_registry.keys("index/") == []
    assert await workerless_registry.keys("dl/") == []
