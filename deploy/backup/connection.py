"""Leads Postgres' own programs to the configured database."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode

from shared.database import driver_dsn

# Parameters that libpq knows by the name that our driver has for them; all others are settings of the server.
LIBPQ: Final = frozenset(
    {"host", "port", "user", "dbname", "passfile", "options", "krbsrvname", "gsslib", "target_session_attrs"}
    | {f"ssl{name}" for name in ("mode", "cert", "key", "password", "rootcert", "crl", "negotiation")}
    | {"ssl_min_protocol_version", "ssl_max_protocol_version"}
)


@dataclass(frozen=True, slots=True)
class Connection:
    """url: for `--dbname`, without the password. environment: of the program, with the password."""

    url: str
    environment: dict[str, str]


def connection_to(database_url: str) -> Connection:
    """The connection for libpq. A command line has no password, because every user can read it."""
    base, _, query = driver_dsn(database_url).partition("?")
    scheme, _, rest = base.partition("://")
    address, slash, database = rest.partition("/")
    login, at, hosts = address.rpartition("@")
    user, _, password = login.partition(":")
    parameters = dict(parse_qsl(query))
    secret = parameters.pop("password", None) or unquote(password)
    known = {name: value for name, value in parameters.items() if name in LIBPQ}
    if settings := [
        f"-c {name}={_escaped(value)}" for name, value in parameters.items() if name not in LIBPQ
    ]:
        known["options"] = " ".join(filter(None, (known.get("options"), *settings)))
    url = f"{scheme}://{user}{at}{hosts}{slash}{database}"
    parts = f"?{urlencode(known, quote_via=quote)}" if known else ""
    return Connection(url + parts, {**os.environ, **({"PGPASSWORD": secret} if secret else {})})


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")
