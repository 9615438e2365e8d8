"""What both tiers answer about the service itself (contract, 2.1)."""

from __future__ import annotations

from typing import Final

SERVICE_BODY: Final = (
    b'{"catalog":"/index/catalog.json","healthz":"/healthz","index":"/index/",'
    b'"openapi":"/openapi/openapi.json","service":"x07-registry","web":"https://x07.io"}'
)
HEALTH_BODY: Final = b"ok"
