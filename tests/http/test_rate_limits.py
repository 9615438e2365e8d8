"""Limits of attempts a minute on sign-in, token creation and publish, with Redis there and away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest_asyncio
from pydantic import SecretStr
from redis.asyncio import Redis

from shared.settings import Settings
from tests.archives import hello_archive
from tests.github_server import CLIENT_ID, CLIENT_SECRET
from tests.stack import Registry, running_registry

ALLOWED = 3
LIMITS = {
    "sign_in_attempts_per_minute": ALLOWED,
    "token_creation_attempts_per_minute": ALLOWED,
    "publish_attempts_per_minute": ALLOWED,
}


@pytest_asyncio.fixture
async def limited_settings(
    new_database: Callable[[], Awaitable[str]], valkey: Any, tmp_path: Path
) -> Settings:
    """Settings with low limits, GitHub sign-in, and the test's own address as a proxy."""
    return Settings(
        database_url=await new_database(),
        redis_url=valkey.url,
        redis_namespace=tmp_path.name,
        publish_wait_seconds=0,
        data_dir=tmp_path / "tree",
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
    """What a trusted proxy adds for a client."""
    return {"x-forwarded-for": address}


def require_refused(answer: httpx.Response) -> None:
    """The whole form of the refusal."""
    assert (answer.status_code, answer.json()["code"]) == (429, "X07REG_RATE_LIMITED"), answer.text
    assert list(answer.json()) == ["code", "message", "request_id"]
    assert 1 <= int(answer.headers["retry-after"]) <= 60


async def test_sign_in_attempts_of_an_address_are_limited(limited: Registry) -> None:
    """Start and callback count together; another address has its own count."""
    for path in ("start", "callback", "start"):
        answer = await limited.http.get(f"/v1/auth/github/{path}", headers=of_client("198.51.100.1"))
        assert answer.status_code in (302, 400)
    for path in ("start", "callback"):
        require_refused(await limited.http.get(f"/v1/auth/github/{path}", headers=of_client("198.51.100.1")))
    answer = await limited.http.get("/v1/auth/github/start", headers=of_client("198.51.100.2"))
    assert answer.status_code == 302
    assert len(await limited.rows("SELECT 1 FROM oauth_states")) == ALLOWED


async def test_token_creations_are_limited_by_address_also_with_wrong_tokens(limited: Registry) -> None:
    """What fails counts too, whatever credential it shows; nothing is written past the limit."""
    caller = await limited.add_publisher("alice", "token.manage", "publish")
    for number in range(ALLOWED):
        wrong = {"authorization": f"Bearer guess-{number}", **of_client("198.51.100.1")}
        assert (await limited.http.post("/v1/tokens", json={}, headers=wrong)).status_code == 401
    require_refused(
        await limited.http.post("/v1/tokens", json={}, headers=caller | of_client("198.51.100.1"))
    )
    assert len(await limited.rows("SELECT 1 FROM tokens")) == 1


async def test_publishes_of_a_token_are_limited_from_whatever_address(limited: Registry) -> None:
    """A leaked token in a thousand hands is still one token; another token publishes on."""
    alice, bob = await limited.add_publisher("alice"), await limited.add_publisher("bob")

    async def publish(number: int, headers: dict[str, str]) -> httpx.Response:
        archive = hello_archive(name=f"p{number}")
        return await limited.publish(archive, headers | of_client(f"198.51.100.{number}"))

    answers = [await publish(number, alice) for number in range(ALLOWED)]
    assert [answer.status_code for answer in answers] == [200] * ALLOWED
    require_refused(await publish(ALLOWED, alice))
    assert (await publish(ALLOWED, bob)).status_code == 200


async def test_attempts_at_once_are_counted_one_by_one(limited: Registry) -> None:
    """Counting is one atomic command; a burst gains nothing."""
    caller = await limited.add_publisher("alice", "token.manage", "publish")
    create = [limited.http.post("/v1/tokens", json={}, headers=caller) for _ in range(20)]
    statuses = [answer.status_code for answer in await asyncio.gather(*create)]
    assert sorted(statuses) == [200] * ALLOWED + [429] * (20 - ALLOWED)


async def test_counters_forget_and_hold_no_secret(limited: Registry, valkey: Any) -> None:
    """Each key ends by itself, and who reads Redis learns no token."""
    token = (await limited.add_publisher("alice", "token.manage"))["authorization"].removeprefix("Bearer ")
    await limited.http.post("/v1/tokens", json={}, headers={"authorization": f"Bearer {token}"})
    async with Redis.from_url(valkey.url) as redis:
        keys = [key async for key in redis.scan_iter(f"{limited.settings.redis_namespace}:attempts:*")]
        assert len(keys) == 2
        for key in keys:
            assert 0 < await redis.ttl(key) <= 60
            assert token.encode() not in key


async def test_without_redis_nobody_is_refused(limited_settings: Settings) -> None:
    """A limit is not worth an outage: it is off while it cannot count."""
    settings = limited_settings.model_copy(update={"redis_url": SecretStr("redis://127.0.0.1:1/0")})
    async with running_registry(settings, with_worker=False) as registry:
        caller = await registry.add_publisher("alice", "token.manage", "publish")
        for _ in range(ALLOWED + 2):
            assert (await registry.http.post("/v1/tokens", json={}, headers=caller)).status_code == 200


async def test_garbage_in_the_counters_refuses_nobody(limited: Registry, valkey: Any) -> None:
    """Whoever can write to Redis turns limits off, or on for an address; not requests into errors."""
    caller = await limited.add_publisher("alice", "token.manage", "publish")
    async with Redis.from_url(valkey.url) as redis:
        await redis.set(f"{limited.settings.redis_namespace}:attempts:token_creation:address:127.0.0.1", "x")
    for _ in range(ALLOWED + 1):
        assert (await limited.http.post("/v1/tokens", json={}, headers=caller)).status_code == 200
