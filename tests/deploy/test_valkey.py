"""Embedded Valkey."""

from __future__ import annotations

import os
import signal

from redis.asyncio import Redis

from deploy.local.home import Home
from deploy.local.valkey import EmbeddedValkey


async def test_it_answers_and_forgets(home: Home) -> None:
    """It keeps nothing on disk, so after a kill it starts empty."""
    async with EmbeddedValkey(home) as valkey:
        async with Redis.from_url(valkey.url) as redis:
            await redis.set("key", "value")
        os.kill(valkey.pid, signal.SIGKILL)
        assert await valkey.ended() == "SIGKILL"
        await valkey.start()
        async with Redis.from_url(valkey.url) as redis:
            assert await redis.get("key") is None
    assert sorted(path.name for path in (home.data_dir / "valkey").iterdir()) == ["valkey.log"]


async def test_it_listens_on_its_socket_only(home: Home) -> None:
    """It has no password; the private directory alone protects it."""
    async with EmbeddedValkey(home) as valkey, Redis.from_url(valkey.url) as redis:
        kept = await redis.config_get("port", "save", "appendonly")
        assert kept == {"port": "0", "save": "", "appendonly": "no"}
        assert home.sockets.stat().st_mode & 0o077 == 0
