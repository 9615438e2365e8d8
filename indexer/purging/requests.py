"""The requests that ask each kind of edge to drop the files of some surrogate keys. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from shared.settings import Settings

# What Fastly and Cloudflare take with one request.
KEYS_OF_FASTLY: Final = 256
KEYS_OF_CLOUDFLARE: Final = 30
# Varnish reads the keys from one header, of 8 KiB at most by default.
KEYS_OF_VARNISH: Final = 30


@dataclass(frozen=True, slots=True)
class PurgeRequest:
    """A request to an edge."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes = field(default=b"")


def requests_for(settings: Settings, keys: Sequence[str]) -> Iterator[PurgeRequest]:
    """The requests that purge these keys at every address in the settings."""
    secret = "" if settings.purge_secret is None else settings.purge_secret.get_secret_value()
    for url in settings.purge_urls:
        match settings.purge:
            case "fastly":
                for some in _parts(keys, KEYS_OF_FASTLY):
                    headers = {"fastly-key": secret, "surrogate-key": " ".join(some)}
                    yield PurgeRequest("POST", url, headers)
            case "cloudflare":
                for some in _parts(keys, KEYS_OF_CLOUDFLARE):
                    headers = {**_bearer(secret), "content-type": "application/json"}
                    yield PurgeRequest("POST", url, headers, json.dumps({"tags": some}).encode())
            case "varnish":
                for some in _parts(keys, KEYS_OF_VARNISH):
                    headers = {"x-x07-purge": secret, "x-x07-keys": _pattern_of(some)}
                    yield PurgeRequest("PURGE", url, headers)
            case "url-template":
                for key in keys:
                    yield PurgeRequest("POST", url.replace("{key}", quote(key, safe="")), _bearer(secret))


def _bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"} if secret else {}


def _parts(keys: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for first in range(0, len(keys), size):
        yield keys[first : first + size]


def _pattern_of(keys: Sequence[str]) -> str:
    """A regular expression for a ban in Varnish, which matches exactly these keys."""
    return f"^({'|'.join(map(re.escape, keys))})$"
