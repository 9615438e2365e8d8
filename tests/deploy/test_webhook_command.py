"""`x07-registry webhook`: operators add, watch, change and remove webhooks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio

from tests.archives import hello_archive
from tests.conftest import MakeSettings
from tests.deploy.commands import variables_of
from tests.deploy.forked_commands import run
from tests.stack import Registry, running_registry

URL = "https://hooks.invalid/x07"


@pytest_asyncio.fixture
async def workerless_fs(make_default_settings: MakeSettings) -> AsyncIterator[Registry]:
    """A registry without a worker, so that nothing is sent."""
    async with running_registry(
        await make_default_settings(publish_wait_seconds=0), with_worker=False
    ) as running:
        yield running


async def test_a_webhook_is_added_listed_changed_tested_and_removed(workerless_fs: Registry) -> None:
    """Its secret is printed once; a removal of a version is an event of it."""
    alice = await workerless_fs.add_publisher("alice", "publish", "admin")
    await workerless_fs.publish(hello_archive(), alice)
    variables = variables_of(workerless_fs.settings)

    async def command(*words: str) -> Any:
        answer = await asyncio.to_thread(run, *words, "--json", **variables)
        assert answer.returncode == 0, answer.stderr
        return [json.loads(line) for line in answer.stdout.splitlines()]

    [added] = await command("webhook", "add", URL, "--package", "hello", "--events", "version.removed")
    assert added["secret"].startswith("whsec_")
    await command("package", "remove-version", "hello", "0.1.0", "--reason", "court order 7", "--yes")
    [rotated] = await command("webhook", "rotate", added["id"])
    assert rotated["secret"] != added["secret"]
    await command("webhook", "off", added["id"])
    [listed] = await command("webhook", "list")
    assert (listed["url"], listed["is_active"], listed["events"]) == (URL, False, ["version.removed"])
    await command("webhook", "on", added["id"])
    await command("webhook", "test", added["id"])
    tested, removed = await command("webhook", "deliveries", added["id"])
    assert (tested["type"], tested["data"]) == ("webhook.test", {})
    assert (removed["type"], removed["data"]) == ("version.removed", {"package": "hello", "version": "0.1.0"})
    text = await asyncio.to_thread(run, "webhook", "list", **variables)
    assert text.stdout.splitlines()[1].split() == [
        added["id"],
        "active",
        URL,
        "hello",
        "alice",
        "version.removed",
    ]
    await command("webhook", "remove", added["id"])
    assert await command("webhook", "list") == []
    wrong = await asyncio.to_thread(run, "webhook", "add", "http://127.0.0.1/", **variables)
    assert wrong.returncode == 1
    assert "https" in wrong.stderr
