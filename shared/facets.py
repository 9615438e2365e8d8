"""Facets: the purposes of a package, derived from its name and its manifest's `meta` (contract, 3.7)."""

from __future__ import annotations

from collections.abc import Iterator

from shared.strict_json import Json
from shared.text import lower_ascii, trim

_FAMILIES = {
    "db": "capability:database",
    "msg": "capability:messaging",
    "obj": "capability:object-store",
}
_BINDINGS = ("postgres", "redis", "sqlite", "amqp", "s3")

_PREFIX_OF_META_KEY = {
    "facets": "",
    "archetype": "archetype:",
    "archetypes": "archetype:",
    "binding": "binding:",
    "bindings": "binding:",
    "runtime": "runtime:",
    "runtimes": "runtime:",
    "trust_profile": "trust:",
    "trust_profiles": "trust:",
    "capability": "capability:",
    "capabilities": "capability:",
}


def facets_of(name: str, meta: Json) -> tuple[str, ...]:
    """The facets of a package, sorted by bytes and unique. meta: that of the latest version, of any type."""
    return tuple(sorted({*_from_name(lower_ascii(name)), *_from_meta(meta)}))


def _from_name(name: str) -> Iterator[str]:
    for family, facet in _FAMILIES.items():
        if name.startswith((f"ext-{family}-", f"x07-ext-{family}-")):
            yield facet
    for binding in _BINDINGS:
        if binding in name:
            yield f"binding:{binding}"


def _from_meta(meta: Json) -> Iterator[str]:
    if not isinstance(meta, dict):
        return
    for key, prefix in _PREFIX_OF_META_KEY.items():
        for value in _values(meta.get(key)):
            yield prefix + value


def _values(value: Json) -> Iterator[str]:
    """The words of a string or an array. Items that are blank or not text are skipped."""
    items = value if isinstance(value, list) else [value]
    for item in items:
        if isinstance(item, str) and (word := lower_ascii(trim(item))):
            yield word
