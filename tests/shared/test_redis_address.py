"""Addresses of Redis or Valkey."""

from __future__ import annotations

import pytest
from redis.asyncio.connection import SSLConnection

from shared.host_port import HostPort
from shared.redis_address import RedisAddress, Sentinels, parse_redis_address
from shared.redis_client import open_pool
from shared.settings import Settings


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "redis://h",
        "redis://u:p@h:1/2",
        "rediss://[::1]:6379/0?ssl_ca_certs=/ca.pem",
        "unix:///run/valkey/valkey.sock?db=1",
        "unix://u:p@/run/valkey/valkey.sock",
    ],
)
def test_the_address_of_a_server_goes_to_the_client_as_it_is(url: str) -> None:
    """The client reads it itself."""
    assert parse_redis_address(url) == RedisAddress(url)


def test_sentinels_have_their_own_port_and_credential() -> None:
    """What is left is for the primary: credential, database, options."""
    text = "rediss+sentinel://u:p@a,[::1]:1/main/3?ssl_ca_certs=%2Fca.pem&sentinel_password=s%40"
    found = Sentinels((HostPort("a", 26379), HostPort("::1", 1)), "main", None, "s@")
    assert parse_redis_address(text) == RedisAddress("rediss://u:p@/3?ssl_ca_certs=%2Fca.pem", found)
    assert parse_redis_address("redis+sentinel://a/main").url == "redis:///"


def test_tls_goes_to_the_sentinels_too() -> None:
    """They say where the primary is, and may ask for a password."""
    pool = open_pool(Settings(redis_url="valkeys+sentinel://u:p@a/main/3?sentinel_password=s"), 2.0)
    assert issubclass(pool.connection_class, SSLConnection)
    assert {"username": "u", "password": "p", "db": 3}.items() <= pool.connection_kwargs.items()
    asked = pool.sentinel_manager._connection_to(host="a", port=1)
    assert isinstance(asked, SSLConnection)
    assert (asked.username, asked.password, asked.db, asked.socket_timeout) == (None, "s", 0, 2.0)


@pytest.mark.parametrize(
    "url",
    [
        "http://h",
        "redis:h",
        "redis://h:secret",
        "redis://h/secret",
        "unix://secret",
        "redis+sentinel://secret",
        "redis+sentinel:///secret/0",
        "redis+sentinel://secret/main/x",
        "redis+sentinel://a,,secret/main",
        "redis+sentinel://a:secret/main",
    ],
)
def test_what_is_no_address_is_refused_without_being_repeated(url: str) -> None:
    """It may hold a password."""
    with pytest.raises(ValueError, match=r"^(?!.*secret)"):
        parse_redis_address(url)
