"""Limits of attempts per minute for sign-in, token creation and publish, with and without Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest_asyncio
from pydantic import SecretStr
from redis.asyncio import Redis

from shared.settings import Settings
from tests.archives import hello_archive
from tests.conftest import MakeSettings
from tests.github_server import CLIENT_ID, CLIENT_SECRET
from tests.stack import Registry, running_registry

ALLOWED = 3
LIMITS = {
    "sign_in_attempts_per_minute": ALLOWED,
    "token_creation_attempts_per_minute": ALLOWED,
    "publish_attempts_per_minute": ALLOWED,
}


@pytest_asyncio.fixture
async def limited_settings(make_default_settings: MakeSettings) -> Settings:
    """Settings with low limits, GitHub sign-in, and the test's own address as a proxy."""
    return await make_default_settings(
        publish_wait_seconds=0,
        github_client_id=CLIENT_ID,
        github_client_secret=CLIENT_SECRET,
        trusted_proxies=("127.0.0.1",),
        **LIMITS,
    )


@pytest_asyncio.fixture
async def limited(limited_settings: Settings) -> AsyncIterator[Registry]:
    """A registry with these settings."""
    async with running_registry(limited_settings, with_worker=False) as registry:
        yield registry


def of_client(address: str) -> dict[str, str]:
    """The header that a trusted proxy adds for a client."""
    return {"x-forwarded-for": address}


def require_refused(answer: httpx.Response) -> None:
    """Check the complete refusal."""
    assert (answer.status_code, answer.json()["code"]) == (429, "X07REG_RATE_LIMITED"), answer.text
    assert list(answer.json()) == ["code", "message", "request_id"]
    assert 1 <= int(answer.headers["retry-after"]) <= 60


async def test_sign_in_attempts_of_an_address_are_limited(limited: Registry) -> None:
    """Start and callback count together; each address has its own count."""
    for path in ("start", "callback", "start"):
        answer = await limited.http.get(f"/v1/auth/github/{path}", headers=of_client("198.51.100.1"))
        assert answer.status_code in (302, 400)
    for path in ("start", "callback"):
        require_refused(await limited.http.get(f"/v1/auth/github/{path}", headers=of_client("198.51.100.1")))
    answer = await limited.http.get("/v1/auth/github/start", headers=of_client("198.51.100.2"))
    assert answer.status_code == 302
    assert len(await limited.rows("SELECT 1 FROM oauth_states")) == ALLOWED


async def test_token_creations_are_limited_by_address_also_with_wrong_tokens(limited: Registry) -> None:
    """Failed attempts count too, with any credential; nothing is written above the limit."""
    caller = await limited.add_publisher("alice", "token.manage", "publish")
    for number in range(ALLOWED):
        wrong = {"authorization": f"Bearer guess-{number}", **of_client("198.51.100.1")}
        assert (await limited.http.post("/v1/tokens", json={}, headers=wrong)).status_code == 401
    require_refused(
        await limited.http.post("/v1/tokens", json={}, headers=caller | of_client("198.51.100.1"))
    )
    assert len(await limited.rows("SELECT 1 FROM tokens")) == 1


async def test_publishes_of_a_token_are_limited_from_whatever_address(limited: Registry) -> None:
    """A leaked token counts as one token, however many people use it; other tokens still work."""
    alice, bob = await limited.add_publisher("alice"), await limited.add_publisher("bob")

    async def publish(number: int, headers: dict[str, str]) -> httpx.Response:
        archive = hello_archive(name=f"p{number}")
        return await limited.publish(archive, headers | of_client(f"198.51.100.{number}"))

    answers = [await publish(number, alice) for number in range(ALLOWED)]
    assert [answer.status_code for answer in answers] == [200] * ALLOWED
    require_refused(await publish(ALLOWED, alice))
    assert (await publish(ALLOWED, bob)).status_code == 200


async def test_attempts_at_once_are_counted_one_by_one(limited: Registry) -> None:
    """One atomic command counts, so a burst is limited too."""
    caller = await limited.add_publisher("alice", "token.manage", "publish")
    create = [limited.http.post("/v1/tokens", json={}, headers=caller) for _ in range(20)]
    statuses = [answer.status_code for answer in await asyncio.gather(*create)]
    assert sorted(statuses) == [200] * ALLOWED + [429] * (20 - ALLOWED)


async def test_counters_forget_and_hold_no_secret(limited: Registry, valkey: Any) -> None:
    """Each key expires by itself, and Redis contains no token."""
    token = (await limited.add_publisher("alice", "token.manage"))["authorization"].removeprefix("Bearer ")
    await limited.http.post("/v1/tokens", json={}, headers={"authorization": f"Bearer {token}"})
    async with Redis.from_url(valkey.url) as redis:
        keys = [key async for key in redis.scan_iter(f"{limited.settings.redis_namespace}:attempts:*")]
        assert len(keys) == 2
        for key in keys:
            assert 0 < await redis.ttl(key) <= 60
            assert token.encode() not in key


async def test_without_redis_nobody_is_refused(limited_settings: Settings) -> None:
    """The limits are off while Redis cannot count."""
    settings = limited_settings.model_copy(update={"redis_url": SecretStr("redis://127.0.0.1:1/0")})
    async with running_registry(settings, with_worker=False) as registry:
        caller = await registry.add_publisher("alice", "token.manage", "publish")
        for _ in range(ALLOWED + 2):
            assert (await registry.http.post("/v1/tokens", json={}, headers=caller)).status_code == 200


async def test_garbage_in_the_counters_refuses_nobody(limited: Registry, valkey: Any) -> None:
    """An attacker in Redis can disable limits or use them up for an address, but not cause errors."""
    caller = await limited.add_publisher("alice", "token.manage", "publish")
    async with Redis.from_url(valkey.url) as redis:
        await redis.set(f"{limited.settings.redis_namespace}:attempts:token_creation:address:127.0.0.1", "x")
    for _ in range(ALLOWED + 1):
        assert (await limited.http.post("/v1/tokens", json={}, headers=caller)).status_code == 200
