"""Limits for the fields of a new manifest, and for the characters that listings can show. Pure.

The longest real description has 110 bytes. Without limits, one package could fill everything that lists all
packages: the catalog, an answer of search, the memory of processes. A control character takes six bytes in
JSON, and misleads on a terminal. Longer texts in older rows are cut, and such characters replaced, in
listings.
"""

from __future__ import annotations

from typing import Final

from shared.facets import facets_of
from shared.publish_errors import BadManifest
from shared.strict_json import Json
from shared.text import LINE_ENDS_AND_TABS, misleading_character, rust_quote

MAX_DESCRIPTION_BYTES: Final = 2048
MAX_DOCS_BYTES: Final = 65_536
MAX_TEXT_BYTES: Final = 2048
"""The limit of every other text of a manifest, and of every key."""
MAX_ENTRIES: Final = 1000
"""The limit of every list, and of the keys of every object."""
MAX_FACETS: Final = 64
MAX_FACET_BYTES: Final = 128

_LARGEST: Final = {"description": MAX_DESCRIPTION_BYTES, "docs": MAX_DOCS_BYTES}


def check_limits(name: str, manifest: dict[str, Json]) -> None:
    """Raise BadManifest, with the place, for a text, a list or a facet that is too large."""
    _check_entries(manifest, [])
    for key, value in manifest.items():
        _check(value, [_checked_key(key)], _LARGEST.get(key, MAX_TEXT_BYTES))
        if key in _LARGEST and isinstance(value, str):
            _require_plain(value, [key], LINE_ENDS_AND_TABS)
    facets = facets_of(name, manifest.get("meta"))
    if len(facets) > MAX_FACETS:
        raise BadManifest(f"the manifest has {len(facets)} facets, and may have at most {MAX_FACETS}")
    for facet in facets:
        _check(facet, ["meta", facet], MAX_FACET_BYTES)
        _require_plain(facet, ["meta", facet])


def _check(value: Json, place: list[str], max_bytes: int) -> None:
    """Check a value. place: keys and positions that lead to it; unchanged when this returns."""
    match value:
        case str() if (size := len(value.encode())) > max_bytes:
            raise BadManifest(f"{_place(place)} has {size} bytes, and may have at most {max_bytes}")
        case list():
            _check_entries(value, place)
            for position, item in enumerate(value):
                _check_below(item, place, str(position))
        case dict():
            _check_entries(value, place)
            for key, item in value.items():
                _check_below(item, place, _checked_key(key))


def _require_plain(text: str, place: list[str], allowed: str = "") -> None:
    if character := misleading_character(text, allowed=allowed):
        raise BadManifest(f"{_place(place)} has the character {character}, which is shown as something else")


def _check_below(value: Json, place: list[str], step: str) -> None:
    place.append(step)
    _check(value, place, MAX_TEXT_BYTES)
    place.pop()


def _check_entries(value: list[Json] | dict[str, Json], place: list[str]) -> None:
    if len(value) > MAX_ENTRIES:
        raise BadManifest(f"{_place(place)} has {len(value)} entries, and may have at most {MAX_ENTRIES}")


def _checked_key(key: str) -> str:
    if (size := len(key.encode())) > MAX_TEXT_BYTES:
        raise BadManifest(
            f"the key {rust_quote(key)} has {size} bytes, and may have at most {MAX_TEXT_BYTES}"
        )
    return key


def _place(place: list[str]) -> str:
    return rust_quote(".".join(place)) if place else "the manifest"
