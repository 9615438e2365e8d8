"""Requirements in manifests, and which versions meet them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.requires_packages import MAX_ENTRIES, is_met, required_packages

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def read(*entries: Any) -> list[tuple[str, str]]:
    """Names and requirements of these entries."""
    return [(entry.name, entry.requirement) for entry in required_packages({"requires_packages": [*entries]})]


def test_pins_and_ranges_are_read_sorted_and_once() -> None:
    """They are unchanged, except that surrounding white space is removed."""
    assert read("b@0.1.0", " a @ >=0.1.4 <0.2.0 ", "b@0.1.0", "b@*") == [
        ("a", ">=0.1.4 <0.2.0"),
        ("b", "*"),
        ("b", "0.1.0"),
    ]


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "@",
        "a",
        "a@",
        "@1.0.0",
        "A@1.0.0",
        "a b@1.0.0",
        "a@@1.0.0",
        "a@1.0.0 || 2",
        "a@v1",
        "a" * 129 + "@*",
    ],
)
def test_what_makes_no_sense_is_passed_over(entry: str) -> None:
    """The other entries still count."""
    assert read(entry, "b@1.0.0") == [("b", "1.0.0")]


@pytest.mark.parametrize(
    "meta", [None, [], "a@1.0.0", {}, {"requires_packages": "a@1.0.0"}, {"requires_packages": None}]
)
def test_other_shapes_require_nothing(meta: Any) -> None:
    """Only an array in an object is read."""
    assert required_packages(meta) == ()


def test_entries_are_bounded() -> None:
    """Number and length are limited, so that one manifest cannot fill a table."""
    assert len(read(*(f"p{number}@*" for number in range(2 * MAX_ENTRIES)))) == MAX_ENTRIES
    assert read("a@" + ",".join(["1"] * 129)) == []


@given(JSON | st.fixed_dictionaries({"requires_packages": st.lists(JSON | st.text("a@1.<>= ^*"))}))
def test_no_manifest_makes_it_raise(meta: Any) -> None:
    """Every result can be evaluated."""
    for entry in required_packages(meta):
        assert is_met(entry.requirement, "1.0.0") in (True, False)


@pytest.mark.parametrize(
    ("requirement", "version", "met"),
    [
        ("0.1.4", "0.1.4", True),
        ("0.1.4", "0.1.5", False),
        ("0.1.4", "0.1.4+build", False),
        ("=0.1.4", "0.1.4+build", True),
        ("^0.1.4", "0.1.5", True),
        ("0.1", "0.1.5", True),
        (">=0.1.4 <0.2.0", "0.1.9", True),
        (">=0.1.4 <0.2.0", "0.2.0", False),
        (">=0.1.4 <0.2.0", "0.2.0-rc.1", False),
        (">=0.1.4", "0.1.5-rc.1", False),
        ("*", "9.9.9", True),
        ("1.0.0-rc.1", "1.0.0-rc.1", True),
    ],
)
def test_a_pin_is_met_to_the_letter_and_a_range_by_cargos_rules(
    requirement: str, version: str, met: bool
) -> None:
    """A full version without an operator is a pin here, unlike in Cargo."""
    assert is_met(requirement, version) is met
