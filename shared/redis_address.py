"""Addresses of Redis or Valkey: a server, or the primary that Sentinels name. Pure.

    redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]              rediss:// for TLS
    unix://[USER:PASSWORD@]/PATH[?db=DATABASE]
    redis+sentinel://[USER:PASSWORD@]HOST[:PORT],…/NAME[/DATABASE][?sentinel_password=…]

In the setting, `valkey` may stand for `redis`. Errors never repeat the address, which may contain a password.
"""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from shared.host_port import HostPort, parse_host_port

SENTINEL_PORT: Final = 26379
SCHEMES: Final = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel")
SENTINEL_FORM: Final = "redis+sentinel://HOST:PORT,HOST:PORT/NAME/DATABASE"


class Sentinels(NamedTuple):
    """hosts: all Sentinels. name: of the primary, as they know it. username, password: for the Sentinels."""

    hosts: tuple[HostPort, ...]
    name: str
    username: str | None
    password: str | None


class RedisAddress(NamedTuple):
    """url: as redis-py takes it; it names no host where Sentinels name the server."""

    url: str
    sentinels: Sentinels | None = None


def parse_redis_address(text: str) -> RedisAddress:
    """The parts of an address. Raises ValueError, which says what is allowed."""
    scheme, separator, rest = text.partition("://")
    if scheme not in SCHEMES or not separator:
        raise ValueError(f"a URL that begins with {', '.join(f'{known}://' for known in SCHEMES)}")
    if scheme.endswith("+sentinel"):
        return _parse_sentinels(scheme.removesuffix("+sentinel"), rest)
    parts = urlsplit(text)
    if scheme == "unix":
        _require(parts.path.startswith("/") and parts.path != "/", "unix:///PATH/OF/SOCKET")
        return RedisAddress(text)
    host = parts.netloc.rpartition("@")[2]
    if ":" in host.rpartition("]")[2]:
        parse_host_port(host)
    _require(_is_database(parts.path.strip("/")), "a number of a database after the host, or nothing")
    return RedisAddress(text)


def _parse_sentinels(scheme: str, rest: str) -> RedisAddress:
    parts = urlsplit(f"//{rest}")
    credential, at, hosts = parts.netloc.rpartition("@")
    name, _, database = parts.path.strip("/").partition("/")
    _require(bool(name and hosts) and _is_database(database), SENTINEL_FORM)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    username, password = options.pop("sentinel_username", None), options.pop("sentinel_password", None)
    query = f"?{urlencode(options)}" if options else ""
    found = tuple(_parse_sentinel(host.strip()) for host in hosts.split(","))
    url = f"{scheme}://{credential}{at}/{database}{query}"
    return RedisAddress(url, Sentinels(found, unquote(name), username, password))


def _parse_sentinel(text: str) -> HostPort:
    _require(bool(text), SENTINEL_FORM)
    has_port = ":" in text.rpartition("]")[2]
    return parse_host_port(text if has_port else f"{text}:{SENTINEL_PORT}")


def _is_database(text: str) -> bool:
    return not text or text.isdecimal()


def _require(is_so: bool, form: str) -> None:
    if not is_so:
        raise ValueError(form)
