"""The worlds that a package allows."""

from __future__ import annotations

import pytest

from shared.publish_errors import BadManifest
from shared.strict_json import Json
from shared.worlds import parse_worlds


@pytest.mark.parametrize("meta", [None, {}, {"other": []}])
def test_a_package_that_names_no_world_runs_in_the_full_solver(meta: Json) -> None:
    """The default of the contract (4.5)."""
    assert parse_worlds(meta) == ("solve-full",)


def test_worlds_are_trimmed_sorted_and_unique() -> None:
    """By name, not by order of power."""
    meta: Json = {"worlds_allowed": [" solve-pure\n", "run-os", "solve-pure", "run-os-sandboxed"]}
    assert parse_worlds(meta) == ("run-os", "run-os-sandboxed", "solve-pure")


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ([], "meta must be an object"),
        ("solve-pure", "meta must be an object"),
        ({"worlds_allowed": None}, "meta.worlds_allowed must be an array"),
        ({"worlds_allowed": "solve-pure"}, "meta.worlds_allowed must be an array"),
        ({"worlds_allowed": []}, "meta.worlds_allowed must be non-empty"),
        ({"worlds_allowed": ["run-os", 1]}, "meta.worlds_allowed[1] must be a string"),
        ({"worlds_allowed": ["Run-OS"]}, 'meta.worlds_allowed[0] is an unknown world: "Run-OS"'),
        ({"worlds_allowed": [""]}, 'meta.worlds_allowed[0] is an unknown world: ""'),
    ],
)
def test_a_wrong_value_is_refused_by_its_index(meta: Json, message: str) -> None:
    """The publisher learns which item to correct."""
    with pytest.raises(BadManifest) as refusal:
        parse_worlds(meta)
    assert refusal.value.message == message
