"""Very slow uploads are ended, and other accounts can publish meanwhile."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest_asyncio

from tests.archives import hello_archive
from tests.conftest import MakeSettings
from tests.stack import Registry, eventually, running_registry

UPLOADS_PER_ACCOUNT = 40
BYTE_EVERY_S = 8.0
PROMPT_S = 15.0


@pytest_asyncio.fixture
async def default_registry(make_default_settings: MakeSettings) -> AsyncIterator[Registry]:
    """A registry with default limits."""
    async with running_registry(await make_default_settings(catalog_debounce_seconds=0.02)) as running:
        yield running


class Upload:
    """A raw connection that begins a POST and then sends a byte from time to time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def drip(self) -> tuple[int, dict[str, str], Any]:
        """Send a byte every BYTE_EVERY_S until the answer arrives. Returns status, headers and JSON body."""
        answer = asyncio.ensure_future(self.reader.read())
        while not answer.done():
            await asyncio.wait({answer}, timeout=BYTE_EVERY_S)
            if not answer.done():
                self.writer.write(b"x")
        head, _, body = answer.result().partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        return int(status.split()[1]), headers, json.loads(body)


@asynccontextmanager
async def upload(
    registry: Registry, publisher: dict[str, str], path: str = "/v1/packages/publish"
) -> AsyncIterator[Upload]:
    """A connection whose request has sent its head and the first byte of its body."""
    host, port = registry.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n"
            "Content-Type: application/json\r\n"
            f"Authorization: {publisher['authorization']}\r\n\r\nx".encode()
        )
        yield Upload(reader, writer)
    finally:
        writer.close()


async def test_two_accounts_with_forty_slow_uploads_each_do_not_hold_up_a_third(
    default_registry: Registry,
) -> None:
    """A reported case: a byte every 8 s on 80 connections stopped all publishing.

    Connections are reopened.
    """
    registry = default_registry
    slow = [await registry.add_publisher(f"slow-{number}") for number in range(2)]
    third = await registry.add_publisher("third")
    begun = 0

    async def hold(publisher: dict[str, str]) -> None:
        nonlocal begun
        while True:
            async with upload(registry, publisher) as one:
                begun += 1
                await one.drip()
            await asyncio.sleep(0.2)

    async def all_have_begun() -> bool:
        return begun >= 2 * UPLOADS_PER_ACCOUNT

    holders = [asyncio.create_task(hold(one)) for one in slow for _ in range(UPLOADS_PER_ACCOUNT)]
    try:
        await eventually(all_have_begun)
        until, number = time.monotonic() + 2 * BYTE_EVERY_S, 0
        while time.monotonic() < until:
            archive = hello_archive(name=f"third-{number}")
            async with asyncio.timeout(PROMPT_S):
                answer = await registry.publish(archive, third)
            assert answer.status_code == 200, answer.text
            number += 1
            await asyncio.sleep(0.5)
    finally:
        for holder in holders:
            holder.cancel()
        await asyncio.gather(*holders, return_exceptions=True)


async def test_an_upload_below_the_least_rate_is_answered_408_and_loses_its_place(
    default_registry: Registry,
) -> None:
    """As in RFC 9110, 15.5.9, the answer says that the connection closes, and it closes."""
    publisher = await default_registry.add_publisher()
    async with upload(default_registry, publisher) as one, asyncio.timeout(60):
        status, headers, body = await one.drip()
    assert (status, body["code"]) == (408, "X07REG_BODY_TOO_SLOW")
    assert headers["connection"] == "close"
    assert "4096 bytes a second" in body["message"]
    assert list((default_registry.settings.data_dir / "tmp").iterdir()) == []
    assert (await default_registry.publish(hello_archive(), publisher)).status_code == 200


async def test_any_other_body_has_a_least_rate_too(default_registry: Registry) -> None:
    """Slow JSON could occupy the 1,024 concurrent requests of a process."""
    publisher = await default_registry.add_publisher("alice", "token.manage")
    async with upload(default_registry, publisher, "/v1/tokens") as one, asyncio.timeout(60):
        status, _, body = await one.drip()
    assert (status, body["code"]) == (408, "X07REG_BODY_TOO_SLOW")
