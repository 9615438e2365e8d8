"""The worlds that a package may run in: `meta.worlds_allowed` (contract, 4.5)."""

from __future__ import annotations

from typing import Final

from shared.publish_errors import BadManifest
from shared.strict_json import Json
from shared.text import rust_quote, trim

WORLDS: Final = frozenset(
    {"solve-pure", "solve-fs", "solve-rr", "solve-kv", "solve-full", "run-os", "run-os-sandboxed"}
)
DEFAULT_WORLDS: Final = ("solve-full",)


def parse_worlds(meta: Json) -> tuple[str, ...]:
    """The worlds that a manifest's `meta` allows (None: no `meta`), sorted and unique. Raises BadManifest."""
    if meta is None:
        return DEFAULT_WORLDS
    if not isinstance(meta, dict):
        raise BadManifest("meta must be an object")
    if "worlds_allowed" not in meta:
        return DEFAULT_WORLDS
    worlds = meta["worlds_allowed"]
    if not isinstance(worlds, list):
        raise BadManifest("meta.worlds_allowed must be an array")
    if not worlds:
        raise BadManifest("meta.worlds_allowed must be non-empty")
    return tuple(sorted({_parse_world(index, item) for index, item in enumerate(worlds)}))


def _parse_world(index: int, item: Json) -> str:
    if not isinstance(item, str):
        raise BadManifest(f"meta.worlds_allowed[{index}] must be a string")
    world = trim(item)
    if world not in WORLDS:
        raise BadManifest(f"meta.worlds_allowed[{index}] is an unknown world: {rust_quote(world)}")
    return world
