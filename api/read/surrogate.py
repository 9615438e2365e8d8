"""The header that tells an edge the surrogate key of a file (shared/surrogate_keys.py)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from api.read.answer import Fields
from shared.settings import Settings
from shared.surrogate_keys import surrogate_key_of


def surrogate_fields_of(settings: Settings) -> Callable[[str], Fields]:
    """Makes the header of a blob from its key, as the settings say."""
    if settings.surrogate_header == "none":
        return no_surrogate_fields
    return partial(_fields, settings.surrogate_header.encode())


def no_surrogate_fields(_: str) -> Fields:
    """No header, for any blob."""
    return []


def _fields(header: bytes, key: str) -> Fields:
    return [(header, surrogate_key_of(key).encode())]
