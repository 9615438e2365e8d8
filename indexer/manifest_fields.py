"""Reading fields of stored manifests, which may be older than today's publish rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET, UnsetType


def text_field(manifest: Mapping[str, Any], key: str) -> str | UnsetType:
    """The text under a key; unset when it is absent, null or not text."""
    value = manifest.get(key)
    return value if isinstance(value, str) else UNSET
