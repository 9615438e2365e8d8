"""What both tiers answer about the service itself (contract, 2.1)."""

from __future__ import annotations

from typing import Final

import msgspec


class ServiceDocument(msgspec.Struct, frozen=True):
    """Where the registry's parts are: constant, keys sorted."""

    catalog: str = "/index/catalog.json"
    healthz: str = "/healthz"
    index: str = "/index/"
    openapi: str = "/openapi/openapi.json"
    service: str = "x07-registry"
    web: str = "https://x07.io"


SERVICE_BODY: Final = msgspec.json.encode(ServiceDocument())
HEALTH_BODY: Final = b"ok"
