"""The answers about the service itself, which both tiers give (contract, 2.1)."""

from __future__ import annotations

from typing import Final

import msgspec

from shared.version import VERSION


class ServiceDocument(msgspec.Struct, frozen=True):
    """The addresses of the registry's parts, and its release. Constant, with sorted keys."""

    catalog: str = "/index/catalog.json"
    healthz: str = "/healthz"
    index: str = "/index/"
    openapi: str = "/openapi/openapi.json"
    service: str = "x07-registry"
    version: str = VERSION
    web: str = "https://x07.io"


SERVICE_BODY: Final = msgspec.json.encode(ServiceDocument())
HEALTH_BODY: Final = b"ok"
