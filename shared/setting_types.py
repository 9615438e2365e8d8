"""Parses the text of environment variables into typed values; for shared/setting_groups/.

Each parser raises a ValueError that says what is allowed. It never repeats the value, which may be a secret.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Annotated, NamedTuple
from urllib.parse import urlsplit

from pydantic import BeforeValidator, SecretStr
from pydantic_settings import NoDecode

from shared.host_port import parse_host_port, parse_socket_path
from shared.redis_address import parse_redis_address
from shared.stop_points import AFTER_CHANGE, PAUSE, STOP_POINTS

TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS = frozenset({"0", "false", "no", "off"})
NAME = re.compile(r"[a-z0-9_-]+")
NAME_PATTERN = re.compile(r"[a-z0-9_-]+\*?")
SCHEMA_NAME = re.compile(r"[a-z_][a-z0-9_]*")
Network = IPv4Network | IPv6Network
INT64 = range(-(2**63), 2**63)


def parse_boolean(value: object) -> bool:
    """One of 1 true yes on / 0 false no off, in any case."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise ValueError("1, true, yes, on, 0, false, no, off")


def parse_comma_list(value: object) -> tuple[str, ...]:
    """Parts between commas, trimmed, empty ones dropped, in the order given."""
    if isinstance(value, str):
        return tuple(part for part in map(str.strip, value.split(",")) if part)
    if isinstance(value, (list, tuple, set, frozenset)):
        return tuple(str(part) for part in value)
    raise ValueError("a comma-separated list")


def parse_lowered_list(value: object) -> tuple[str, ...]:
    """A comma list with each part lower-cased."""
    return tuple(part.lower() for part in parse_comma_list(value))


def parse_sorted_list(value: object) -> tuple[str, ...]:
    """A comma list, sorted and without repetition."""
    return tuple(sorted(set(parse_comma_list(value))))


def parse_namespace_owners(value: object) -> Mapping[str, frozenset[str]]:
    """`NAMESPACE:HANDLE+HANDLE,…` as the handles of each namespace; handles in any case."""
    if isinstance(value, Mapping):
        return value
    owners: dict[str, frozenset[str]] = {}
    for entry in parse_comma_list(value):
        namespace, _, handles = entry.partition(":")
        found = frozenset(handle.strip().lower() for handle in handles.split("+"))
        if namespace in owners or not all(map(NAME.fullmatch, (namespace, *found))):
            raise ValueError("NAMESPACE:HANDLE+HANDLE, comma-separated, each namespace once")
        owners[namespace] = found
    return owners


def parse_private_namespaces(value: object) -> Mapping[str, frozenset[str]]:
    """`PATTERN` or `PATTERN:HANDLE+HANDLE`, comma-separated, as the handles of each pattern, in any case.

    A pattern is a package's name, or the beginning of names followed by `*`.
    """
    if isinstance(value, Mapping):
        return value
    readers: dict[str, frozenset[str]] = {}
    for entry in parse_comma_list(value):
        pattern, colon, handles = (part.strip() for part in entry.partition(":"))
        found = frozenset(handle.strip().lower() for handle in handles.split("+")) if colon else frozenset()
        if pattern in readers or not NAME_PATTERN.fullmatch(pattern) or not all(map(NAME.fullmatch, found)):
            raise ValueError("PATTERN or PATTERN:HANDLE+HANDLE, comma-separated, each pattern once")
        readers[pattern] = found
    return readers


def parse_user_ids(value: object) -> frozenset[int]:
    """A comma list of signed 64-bit integers."""
    try:
        ids = frozenset(int(part) for part in parse_comma_list(value))
    except ValueError:
        ids = frozenset({INT64.stop})
    if not all(number in INT64 for number in ids):
        raise ValueError("a comma-separated list of signed 64-bit integers")
    return ids


def parse_origins(value: object) -> tuple[str, ...]:
    """A comma list of origins, each of visible ASCII (RFC 6454, 6.2), or `*`."""
    origins = parse_comma_list(value)
    if not all(part.isascii() and part.isprintable() and " " not in part for part in origins):
        raise ValueError("a comma-separated list of origins in visible ASCII, or *")
    return origins


def parse_networks(value: object) -> tuple[Network, ...]:
    """A comma list of IP addresses and networks (`10.0.0.0/8`, `::1`)."""
    try:
        return tuple(ip_network(part) for part in parse_comma_list(value))
    except ValueError:
        raise ValueError("a comma-separated list of IP addresses and networks") from None


def parse_optional_text(value: object) -> str | None:
    """Trimmed text; empty means not set."""
    return (str(value).strip() or None) if value is not None else None


def parse_optional_secret(value: object) -> object:
    """A secret, trimmed; empty means not set."""
    return (value.strip() or None) if isinstance(value, str) else value


def parse_lint_command(value: object) -> str | None:
    """A command line with both placeholders; raises ValueError."""
    line = parse_optional_text(value)
    if line is not None:
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise ValueError(f"a command line as a shell reads it ({error})") from None
        if not all(any(name in word for word in words[1:]) for name in ("{file}", "{world}")):
            raise ValueError("a command line with {file} and {world} among its arguments")
    return line


def parse_prefix(value: object) -> str:
    """A key prefix: slashes at both ends stripped, one added at the end when not empty."""
    stripped = str(value).strip().strip("/")
    return f"{stripped}/" if stripped else ""


def parse_database_url(value: object) -> str:
    """The URL of a Postgres server. It may contain a password."""
    text = _secret_text(value)
    if not text.startswith(("postgres://", "postgresql://")):
        raise ValueError("a URL that begins with postgres:// or postgresql://")
    return text


def parse_redis_url(value: object) -> str:
    """The address of a Redis or Valkey server (shared/redis_address.py). It may contain a password."""
    text = re.sub("^valkey", "redis", _secret_text(value))
    parse_redis_address(text)
    return text


def _secret_text(value: object) -> str:
    return (value.get_secret_value() if isinstance(value, SecretStr) else str(value)).strip()


def parse_base_url(value: object) -> str:
    """An absolute http or https URL; trailing slashes stripped."""
    text = str(value).strip().rstrip("/")
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise ValueError("an absolute http:// or https:// URL")
    return text


def parse_bind(value: object) -> str:
    """HOST:PORT, where an IPv6 host stands in brackets and port 0 is any free one; or unix:/PATH."""
    text = str(value).strip()
    if parse_socket_path(text) is None:
        parse_host_port(text)
    return text


def parse_optional_bind(value: object) -> str | None:
    """HOST:PORT; empty means not set."""
    text = parse_optional_text(value)
    if text is not None:
        parse_host_port(text)
    return text


def parse_optional_url(value: object) -> str | None:
    """An absolute http or https URL; empty means not set."""
    return parse_base_url(value) if parse_optional_text(value) is not None else None


def parse_optional_days(value: object) -> int | None:
    """A number of days, 1 to 3650; empty means not set."""
    text = parse_optional_text(value)
    if text is None:
        return None
    if not text.isdecimal() or not 1 <= int(text) <= 3650:
        raise ValueError("a number of days, 1 to 3650")
    return int(text)


class TrustedIssuer(NamedTuple):
    """An issuer of build identities. kind: `github` or `gitlab`. url: without a slash at the end."""

    kind: str
    url: str


def parse_trusted_issuers(value: object) -> tuple[TrustedIssuer, ...]:
    """`KIND=URL,…`; https, or http on loopback; each URL once."""
    if not isinstance(value, str):
        return tuple(TrustedIssuer(*issuer) for issuer in value) if isinstance(value, tuple) else ()
    parts = [part.partition("=") for part in parse_comma_list(value)]
    issuers = tuple(TrustedIssuer(kind.strip(), parse_base_url(url)) for kind, _, url in parts)
    are_known = all(issuer.kind in ("github", "gitlab") for issuer in issuers)
    if not are_known or len({issuer.url for issuer in issuers}) < len(issuers):
        raise ValueError("github=URL or gitlab=URL, comma-separated, each URL once")
    if not all(issuer.url.startswith("https://") or _is_loopback(issuer.url) for issuer in issuers):
        raise ValueError("issuers at https:// addresses, or at http:// ones on loopback")
    return issuers


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def parse_schema_name(value: object) -> str:
    """A Postgres schema name that needs no quotes."""
    text = str(value)
    if not SCHEMA_NAME.fullmatch(text):
        raise ValueError("a name of the form [a-z_][a-z0-9_]*")
    return text


def parse_stop_at(value: object) -> str | None:
    """A point of shared/stop_points.py, `pause:` and a point, `change:N` with N of 1 or more, or nothing."""
    text = parse_optional_text(value)
    if text is None or text.removeprefix(PAUSE) in STOP_POINTS:
        return text
    number = text.removeprefix(AFTER_CHANGE)
    if number != text and number.isdecimal() and int(number) > 0:
        return text
    raise ValueError(f"{', '.join(STOP_POINTS)}, {PAUSE}POINT, {AFTER_CHANGE}N")


Boolean = Annotated[bool, BeforeValidator(parse_boolean)]
CommaList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(parse_comma_list)]
LoweredList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(parse_lowered_list)]
SortedList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(parse_sorted_list)]
NamespaceOwners = Annotated[Mapping[str, frozenset[str]], NoDecode, BeforeValidator(parse_namespace_owners)]
PrivateNamespaces = Annotated[
    Mapping[str, frozenset[str]], NoDecode, BeforeValidator(parse_private_namespaces)
]
UserIds = Annotated[frozenset[int], NoDecode, BeforeValidator(parse_user_ids)]
TrustedIssuers = Annotated[tuple[TrustedIssuer, ...], NoDecode, BeforeValidator(parse_trusted_issuers)]
Origins = Annotated[tuple[str, ...], NoDecode, BeforeValidator(parse_origins)]
Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(parse_networks)]
LintCommand = Annotated[str | None, BeforeValidator(parse_lint_command)]
OptionalText = Annotated[str | None, BeforeValidator(parse_optional_text)]
OptionalDays = Annotated[int | None, BeforeValidator(parse_optional_days)]
OptionalSecret = Annotated[SecretStr | None, BeforeValidator(parse_optional_secret)]
KeyPrefix = Annotated[str, BeforeValidator(parse_prefix)]
DatabaseUrl = Annotated[SecretStr, BeforeValidator(parse_database_url)]
RedisUrl = Annotated[SecretStr, BeforeValidator(parse_redis_url)]
BaseUrl = Annotated[str, BeforeValidator(parse_base_url)]
Bind = Annotated[str, BeforeValidator(parse_bind)]
OptionalBind = Annotated[str | None, BeforeValidator(parse_optional_bind)]
OptionalUrl = Annotated[str | None, BeforeValidator(parse_optional_url)]
SchemaName = Annotated[str, BeforeValidator(parse_schema_name)]
StopAt = Annotated[str | None, BeforeValidator(parse_stop_at)]
