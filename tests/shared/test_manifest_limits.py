"""The limits of a manifest's fields: real manifests are far below them, and checking is linear."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.manifest_limits import MAX_ENTRIES, MAX_FACETS, MAX_TEXT_BYTES, check_limits
from shared.publish_errors import BadManifest

REAL = [
    json.loads(line)
    for line in (Path(__file__).parent.parent / "data" / "manifests.ndjson").read_text().splitlines()
]
MARGIN = 16


def parts_of(value: Any) -> Iterator[Any]:
    """The value and everything inside it, including keys."""
    yield value
    if isinstance(value, list):
        for item in value:
            yield from parts_of(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from parts_of(item)


@pytest.mark.parametrize("manifest", REAL, ids=lambda each: f"{each['name']}-{each['version']}")
def test_every_real_manifest_is_far_within_the_limits(manifest: dict[str, Any]) -> None:
    """Even manifests many times as large would be; docs have a separate limit."""
    check_limits(manifest["name"], manifest)
    assert MAX_FACETS >= MARGIN * 2
    for part in parts_of({key: value for key, value in manifest.items() if key != "docs"}):
        if isinstance(part, str):
            assert len(part.encode()) * MARGIN <= MAX_TEXT_BYTES
        elif isinstance(part, (list, dict)):
            assert len(part) * MARGIN <= MAX_ENTRIES


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ({"license": "x" * 2049}, '"license" has 2049 bytes, and may have at most 2048'),
        ({"meta": {"a": [["x" * 2049]]}}, '"meta.a.0.0" has 2049 bytes, and may have at most 2048'),
        ({"meta": {"a": {"b": [0] * 1001}}}, '"meta.a.b" has 1001 entries, and may have at most 1000'),
        (
            dict.fromkeys(map(str, range(1001))),
            "the manifest has 1001 entries, and may have at most 1000",
        ),
        ({"meta": {"facets": ["\u20ac" * 43]}}, f'"meta.{"€" * 43}" has 129 bytes, and may have at most 128'),
        (
            {"meta": {"facets": [str(n) for n in range(65)]}},
            "the manifest has 65 facets, and may have at most 64",
        ),
    ],
)
def test_a_refusal_names_the_place(manifest: dict[str, Any], message: str) -> None:
    """The place is given by keys and positions from the manifest's root."""
    with pytest.raises(BadManifest) as refusal:
        check_limits("hello", manifest)
    assert refusal.value.message == message


def test_long_keys_on_the_way_are_not_written_out_again_and_again() -> None:
    """The largest manifest of this kind: a hundred long keys, and as many values as fit below them."""
    value: Any = [[0] * MAX_ENTRIES for _ in range(200)]
    for number in range(100):
        value = {f"{number:03d}" + "k" * 2000: value}
    check_limits("hello", {"meta": value})
    value = {"k" * 2048: {"\u202e" * 600: ["x" * 3000]}}
    with pytest.raises(BadManifest) as refusal:
        check_limits("hello", value)
    assert len(refusal.value.message) < 600
