"""An archive is written once: readers' bytes are never replaced, whatever the rows say."""

from __future__ import annotations

import hashlib

from shared.blobs import ARCHIVE_TYPE, archive_key
from shared.names import PackageName
from shared.versions import VersionText
from tests.archives import hello_archive
from tests.stack import Registry

KEY = archive_key(PackageName("hello"), VersionText("0.1.0"))
OTHER = hello_archive(description="Says something else.")


async def store(registry: Registry, body: bytes) -> None:
    """Put an archive without a row, as after a restore of the database."""
    digest = hashlib.sha256(body).hexdigest()
    assert await registry.storage.put(KEY, body, content_type=ARCHIVE_TYPE, digest=digest)


async def test_a_version_whose_archive_is_there_with_other_bytes_is_refused(registry: Registry) -> None:
    """It is refused like a published version; the archive stays, and nothing is written (contract, 4.1)."""
    headers = await registry.add_publisher()
    await store(registry, OTHER)
    answer = await registry.publish(hello_archive(), headers)
    assert (answer.status_code, answer.json()["code"]) == (409, "X07REG_ALREADY_PUBLISHED")
    download = await registry.http.get("/v1/packages/hello/0.1.0/download")
    assert download.content == OTHER
    assert (await registry.http.get("/v1/packages/hello")).status_code == 404
    assert (await registry.publish(hello_archive(version="0.2.0"), headers)).status_code == 200


async def test_an_archive_that_is_there_with_the_same_bytes_is_adopted(registry: Registry) -> None:
    """Its publisher sends it again after the row of an acknowledged publish was lost."""
    headers = await registry.add_publisher()
    await store(registry, hello_archive())
    answer = await registry.publish(hello_archive(), headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-x07-index-published"] == "true"
    download = await registry.http.get("/v1/packages/hello/0.1.0/download")
    assert download.content == hello_archive()
    again = await registry.publish(OTHER, headers)
    assert (again.status_code, again.json()["code"]) == (409, "X07REG_ALREADY_PUBLISHED")
