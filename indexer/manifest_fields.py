"""Reads fields of stored manifests, which may be older than today's publish rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET, UnsetType

from shared.facets import facets_of
from shared.manifest_limits import MAX_FACET_BYTES, MAX_FACETS
from shared.strict_json import Json
from shared.text import listed, misleading_character


def text_field(manifest: Mapping[str, Any], key: str) -> str | UnsetType:
    """The text under a key; UNSET if it is absent, null or not text."""
    value = manifest.get(key)
    return value if isinstance(value, str) else UNSET


def listed_text(manifest: Mapping[str, Any], key: str, max_bytes: int) -> str | UnsetType:
    """The text under a key as listings have it, also where today's publish would have refused it."""
    text = text_field(manifest, key)
    return text if isinstance(text, UnsetType) else listed(text, max_bytes)


def listed_facets(name: str, meta: Json) -> tuple[str, ...]:
    """The facets as listings have them: as many, and such ones, as a new manifest may have."""
    good = [
        facet
        for facet in facets_of(name, meta)
        if len(facet.encode()) <= MAX_FACET_BYTES and misleading_character(facet) is None
    ]
    return tuple(good[:MAX_FACETS])
