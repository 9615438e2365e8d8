"""The answers about the service itself, which both tiers give (contract, 2.1)."""

from __future__ import annotations

from functools import cache
from typing import Final

import msgspec

from shared.version import VERSION

OPENAPI_PATH: Final = "/openapi/openapi.json"
HEALTH_BODY: Final = b"ok"


class ServiceDocument(msgspec.Struct, frozen=True):
    """The addresses of the registry's parts, and its release. Constant for a registry, with sorted keys."""

    catalog: str = "/index/catalog.json"
    healthz: str = "/healthz"
    index: str = "/index/"
    openapi: str = OPENAPI_PATH
    service: str = "x07-registry"
    version: str = VERSION
    web: str = "https://x07.io"


@cache
def service_body(base_path: str) -> bytes:
    """The service document. base_path: the path of the public base, before every address; may be empty."""
    ours = ServiceDocument()
    parts = {name: base_path + getattr(ours, name) for name in ("catalog", "healthz", "index", "openapi")}
    return msgspec.json.encode(msgspec.structs.replace(ours, **parts))
