"""No token of a private registry, and no hash of one, is in its logs, traces, memo or cache."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from types import FunctionType
from typing import Any, Final

import pytest

from api.read.access import AccessList
from api.read.fast_path import FastProtocol
from api.write.credentials import secret_hash
from shared.tracing import start_tracing, stop_tracing
from tests.archives import hello_archive
from tests.conftest import MakeSettings
from tests.observability.collector import running_collector
from tests.stack import Registry, bearer, eventually, running_registry

PATHS: Final = (
    "/index/he/ll/hello",
    "/index/he/ll/hello?x07_refresh=1",
    "/index/un/kn/unknown",
    "/v1/search?q=h",
)
BEGINNING: Final = 16
OURS: Final = ("api.", "shared.", "builtins", "collections", "functools")


async def test_no_token_and_no_hash_is_said_or_kept(
    make_settings: MakeSettings, capfd: pytest.CaptureFixture[str]
) -> None:
    """Valid, revoked and unknown tokens, on the fast path and off it, at the most verbose level."""
    async with running_collector() as collector:
        settings = await make_settings(
            reads="token", access_log=True, log_level="debug", otlp_endpoint=collector.url
        )
        start_tracing(settings, "test")
        async with running_registry(settings) as registry:
            tokens = await _use(registry)
            kept = list(_texts_kept())
        await asyncio.to_thread(stop_tracing)
    logged = "".join(capfd.readouterr())
    assert "http_request" in logged
    assert collector.bodies
    said = [logged.encode(), *collector.bodies, *kept]
    for secret in (*tokens, *map(secret_hash, tokens)):
        assert not [text for text in said if secret[-BEGINNING:].encode() in text], secret


async def _use(registry: Registry) -> list[str]:
    """Publish and read with a token that stays, one that is revoked, and one that nobody made."""
    owner = await registry.add_publisher("alice", "publish", "token.manage")
    assert (await registry.publish(hello_archive(), owner)).status_code == 200
    made = (await registry.http.post("/v1/tokens", json={"label": "ci"}, headers=owner)).json()
    tokens = [
        owner["authorization"].removeprefix("Bearer "),
        made["token"],
        "x07t_of_nobody_at_all_0123456789",
    ]

    async def is_read() -> bool:
        return (await registry.http.get(PATHS[0], headers=bearer(made["token"]))).status_code == 200

    await eventually(is_read)
    for path in PATHS * 2:
        for token in tokens:
            await registry.http.get(path, headers=bearer(token))
    await registry.http.post(f"/v1/tokens/{made['token_id']}/revoke", headers=owner)

    async def is_refused() -> bool:
        return not await is_read()

    await eventually(is_refused)
    return tokens


def _texts_kept() -> Iterator[bytes]:
    """Every text that memo, cache and prebuilt answers of the running reader refer to, however deep."""
    seen: set[int] = set()
    waiting: list[Any] = [
        part for server in FastProtocol._servers.values() for part in (server.service, server.wish_of)
    ]
    assert waiting
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, AccessList | type | FunctionType):
            continue
        seen.add(id(one))
        if isinstance(one, str):
            yield one.encode(errors="replace")
        elif isinstance(one, bytes):
            yield one
        elif type(one).__module__.startswith(OURS):
            waiting += gc.get_referents(one)
