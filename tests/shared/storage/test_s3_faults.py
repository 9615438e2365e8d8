"""The S3 store with a failing server: never half a body, and never a wrong absence."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from shared.errors import StorageFailed, StorageUnavailable
from shared.settings import Settings
from shared.storage.interface import Found
from shared.storage.replacing import replace_blob
from shared.storage.s3 import S3Storage
from shared.storage.s3_client import Patience
from tests.fault_proxy import Answer, Cut, Fault, FaultProxy, Hang
from tests.shared.storage.conftest import IMPATIENT, keys, put, read, sha256

Call = Callable[[S3Storage], Awaitable[object]]
CALLS: dict[str, Call] = {
    "get": lambda storage: storage.get("a"),
    "revalidate": lambda storage: storage.get("a", if_revision='"x"'),
    "head": lambda storage: storage.head("a"),
    "open": lambda storage: read(storage, "a"),
    "put": lambda storage: put(storage, "b"),
    "put_if_absent": lambda storage: put(storage, "b", only_if_absent=True),
    "copy": lambda storage: storage.copy("a", "b"),
    "delete": lambda storage: storage.delete("a"),
    "list": keys,
    "check": lambda storage: storage.check(),
}
CONFLICT = b"<Error><Code>ConditionalRequestConflict</Code><Message>try again</Message></Error>"
PAGE = b"<html><body>Bad gateway</body></html>"


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
@pytest.mark.parametrize(
    "fault", [Answer(500), Answer(503), Answer(502, PAGE), Answer(429), Cut(), Hang()], ids=str
)
async def test_a_server_in_trouble_is_unavailable(
    proxied_storage: S3Storage, proxy: FaultProxy, fault: Fault, call: Call
) -> None:
    """Every operation raises StorageUnavailable within a limited time, and works again afterwards."""
    await put(proxied_storage, "a")
    proxy.inject(fault)
    started = time.monotonic()
    with pytest.raises(StorageUnavailable):
        await call(proxied_storage)
    assert time.monotonic() - started < 60
    assert proxy.strikes > 0
    proxy.heal()
    await call(proxied_storage)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
async def test_a_refusal_is_a_failure(proxied_storage: S3Storage, proxy: FaultProxy, call: Call) -> None:
    """A retry would not help, so there is none.

    A HEAD's answer has no reason, so S3 is asked again for it.
    """
    proxy.inject(Answer(403))
    with pytest.raises(StorageFailed):
        await call(proxied_storage)
    assert proxy.strikes == (2 if call is CALLS["head"] else 1)


@pytest.mark.parametrize("fault", [Answer(500), Answer(503), Cut(), Hang()], ids=str)
async def test_a_passing_fault_is_not_even_noticed(
    proxied_storage: S3Storage, proxy: FaultProxy, fault: Fault
) -> None:
    """The client retries."""
    await put(proxied_storage, "a", b"body")
    proxy.inject(fault, times=1)
    assert await read(proxied_storage, "a") == b"body"
    assert proxy.strikes == 1


@pytest.mark.parametrize("name", ["put", "put_if_absent", "copy", "delete"])
async def test_a_write_with_a_rival_is_made_again(
    proxied_storage: S3Storage, proxy: FaultProxy, name: str
) -> None:
    """AWS answers 409 while another write of the key is under way, and asks to try again."""
    await put(proxied_storage, "a", b"body")
    proxy.inject(Answer(409, CONFLICT), times=2)
    await CALLS[name](proxied_storage)
    assert proxy.strikes == 2
    assert await keys(proxied_storage) == ([] if name == "delete" else ["a", "b"])


async def test_a_put_whose_answer_is_lost_was_made(proxied_storage: S3Storage, proxy: FaultProxy) -> None:
    """It is repeated and, if it was conditional, recognises its own result."""
    proxy.inject(Cut(), times=1)
    assert await put(proxied_storage, "a", b"body")
    proxy.inject(Cut(), times=1)
    assert not await put(proxied_storage, "b", b"body", only_if_absent=True)
    assert await read(proxied_storage, "b") == b"body"


async def test_a_replacement_whose_answer_is_lost_knows_itself(
    proxied_storage: S3Storage, proxy: FaultProxy
) -> None:
    """The repeated request finds its own body, which is not a rival's."""
    for body in (b"first", b"second"):
        seen = await proxied_storage.head("a")
        proxy.inject(Cut(), times=1)
        described = {"content_type": "text/plain", "digest": sha256(body)}
        await replace_blob(proxied_storage, "a", body, seen=seen, **described)
        assert proxy.strikes == 1
        assert await read(proxied_storage, "a") == body


@pytest.mark.parametrize("after_bytes", [1_000, 100_000, 999_000])
async def test_a_body_that_breaks_off_never_looks_complete(
    proxied_storage: S3Storage, proxy: FaultProxy, after_bytes: int
) -> None:
    """It is neither loaded whole nor streamed to its end."""
    await put(proxied_storage, "a", os.urandom(1_000_000))
    proxy.inject(Cut(after_bytes))
    with pytest.raises(StorageUnavailable):
        await proxied_storage.get("a")
    with pytest.raises(StorageUnavailable):
        await read(proxied_storage, "a")
    with pytest.raises(StorageUnavailable):
        await read(proxied_storage, "a", 10, 999_990)
    proxy.heal()
    assert len(await read(proxied_storage, "a")) == 1_000_000


async def test_a_body_that_breaks_off_gives_no_digest(
    proxied_storage: S3Storage, proxy: FaultProxy, bucket_settings: Settings
) -> None:
    """The digest of an object from elsewhere is of all of it, or unknown."""
    body = os.urandom(1_000_000)
    await proxied_storage._client.put_object(
        Bucket=str(bucket_settings.s3_bucket), Key=f"{bucket_settings.s3_prefix}a", Body=body
    )
    proxy.inject(Cut(100_000))
    with pytest.raises(StorageUnavailable):
        await proxied_storage.head("a")
    proxy.heal()
    info = await proxied_storage.head("a")
    assert info is not None
    assert info.digest == sha256(body)


async def test_an_operation_ends_whatever_its_requests_do(
    bucket_settings: Settings, proxy: FaultProxy
) -> None:
    """There is an overall time limit, because the HTTP client has none for some waits."""
    settings = bucket_settings.model_copy(update={"s3_endpoint": f"http://127.0.0.1:{proxy.port}"})
    storage = await S3Storage.connect(settings, Patience(read_s=60, total_s=0.3))
    proxy.inject(Hang())
    try:
        async with asyncio.timeout(60):
            for call in (put(storage, "a"), storage.get("a"), read(storage, "a"), keys(storage)):
                with pytest.raises(StorageUnavailable):
                    await call
    finally:
        await storage.close()


async def test_a_body_that_stalls_is_given_up(proxied_storage: S3Storage, proxy: FaultProxy) -> None:
    """The time limit is for silence, not for the whole answer."""
    await put(proxied_storage, "a", os.urandom(1_000_000))
    proxy.inject(Hang(after_bytes=100_000))
    async with asyncio.timeout(60):
        for call in (read(proxied_storage, "a"), proxied_storage.get("a")):
            with pytest.raises(StorageUnavailable):
                await call


async def test_a_file_is_sent_again_from_its_start(
    proxied_storage: S3Storage, proxy: FaultProxy, tmp_path: Path
) -> None:
    """A retry stores the whole body, not the rest of it."""
    body = os.urandom(2_000_000)
    (tmp_path / "upload").write_bytes(body)
    proxy.inject(Cut(), times=1)
    await proxied_storage.put_file(
        "a", tmp_path / "upload", content_type="application/octet-stream", digest=sha256(body)
    )
    found = await proxied_storage.get("a")
    assert isinstance(found, Found)
    assert found.digest == sha256(found.body) == sha256(body)


async def test_a_listing_of_junk_is_unavailable(proxied_storage: S3Storage, proxy: FaultProxy) -> None:
    """A proxy's page with status 200 is not an empty bucket."""
    await put(proxied_storage, "a")
    proxy.inject(Answer(200, PAGE))
    with pytest.raises(StorageUnavailable):
        await keys(proxied_storage)


async def test_a_server_that_is_gone_is_unavailable(bucket_settings: Settings) -> None:
    """Nothing listens at its address."""
    settings = bucket_settings.model_copy(update={"s3_endpoint": "http://127.0.0.1:9"})
    storage = await S3Storage.connect(settings, IMPATIENT)
    try:
        with pytest.raises(StorageUnavailable):
            await storage.get("a")
    finally:
        await storage.close()
