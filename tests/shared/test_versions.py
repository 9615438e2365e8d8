"""Versions: strict SemVer 2.0.0 and the total order of the contract."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.publish_errors import InvalidVersion
from shared.versions import (
    VersionText,
    greatest,
    parse_version,
    read_version,
    sort_ascending,
    version_key,
)

# SemVer 2.0.0, 11, and the build order of the contract (1.8): 0 < 00 < 1 < 01 < 2 < 10 < text.
_CHAIN = """
0.0.0 0.9.9
1.0.0-0 1.0.0-9 1.0.0-10 1.0.0-- 1.0.0-0a 1.0.0-A
1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1 1.0.0-rc.1+a
1.0.0
1.0.0+0 1.0.0+00 1.0.0+1 1.0.0+1.0 1.0.0+1.a 1.0.0+01 1.0.0+01.0 1.0.0+2 1.0.0+10
1.0.0+- 1.0.0+0a 1.0.0+A 1.0.0+a 1.0.0+a.0
1.0.1 1.2.0 1.10.0 2.0.0 2.1.0 2.1.1 10.0.0 18446744073709551615.0.0
"""
ASCENDING = _CHAIN.split()

_NUMBERS = st.integers(0, 2**64 - 1).map(str) | st.integers(0, 3).map(str)
_WORDS = st.text("0aA-", min_size=1, max_size=3)
_PRE = st.lists(_NUMBERS | st.text("aA-", min_size=1, max_size=3), min_size=1, max_size=3).map(".".join)
_BUILD = st.lists(_WORDS, min_size=1, max_size=3).map(".".join)


@st.composite
def versions(draw: st.DrawFn) -> str:
    """Valid versions, often close enough to each other that every rule matters."""
    core = ".".join(draw(_NUMBERS) for _ in range(3))
    pre = draw(st.none() | _PRE)
    build = draw(st.none() | _BUILD)
    return core + (f"-{pre}" if pre else "") + (f"+{build}" if build else "")


@pytest.mark.parametrize("text", [*ASCENDING, "1.0.0-a-b.--.0-0", f"1.0.0-{'9' * 10_000}", "1.0.0+001"])
def test_strict_semver_is_a_version(text: str) -> None:
    """The text is unchanged."""
    assert parse_version(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "1",
            "1.0",
            "1.0.0.0",
            "v1.0.0",
            "=1.0.0",
            " 1.0.0",
            "1.0.0 ",
            "1.0.0\n",
            "01.0.0",
            "1.00.0",
            "1.0.01",
        ),
        *(
            "-1.0.0",
            "1.0.0-",
            "1.0.0+",
            "1.0.0-a.",
            "1.0.0-.a",
            "1.0.0-01",
            "1.0.0-a..b",
            "1.0.0+a..b",
            "1.0.0+a+b",
        ),
        *("1.0.0-a_b", "1.0.0-\u00e9", "1.0.\u0661", "1.0.0/..", "1.0.x", "\u00b9.0.0"),
        *("18446744073709551616.0.0", "0.18446744073709551616.0", f"0.0.{'9' * 10_000}"),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    """This includes numbers over 2^64-1, of any length."""
    with pytest.raises(InvalidVersion):
        parse_version(text)
    with pytest.raises(InvalidVersion):
        version_key(text)


def test_versions_ascend_by_precedence_then_build() -> None:
    """The examples of SemVer 2.0.0 and the rules of the contract, in one chain."""
    assert all(version_key(low) < version_key(high) for low, high in pairwise(ASCENDING))


@given(st.permutations([*ASCENDING, "", "not a version", "v1.0.0"]))
def test_sorting_does_not_depend_on_the_order_of_rows(rows: list[str]) -> None:
    """Stored versions that do not parse come last, by text."""
    assert sort_ascending(rows) == [*ASCENDING, "", "not a version", "v1.0.0"]


@given(versions(), versions(), versions())
def test_the_order_is_total(a: str, b: str, c: str) -> None:
    """Exactly one of <, =, > holds; only equal texts are equal; the order is transitive."""
    key_a, key_b, key_c = version_key(a), version_key(b), version_key(c)
    assert (key_a < key_b) + (key_a == key_b) + (key_a > key_b) == 1
    assert (key_a == key_b) == (a == b)
    if key_a <= key_b <= key_c:
        assert key_a <= key_c


@given(versions())
def test_a_pre_release_precedes_its_release_and_a_build_follows_it(text: str) -> None:
    """SemVer, 11.3, and the contract's tie-break."""
    version = read_version(text)
    assert version is not None
    release = f"{version.major}.{version.minor}.{version.patch}"
    assert version_key(f"{release}-0") < version_key(release) < version_key(f"{release}+0")


@given(st.lists(versions() | st.text(max_size=5)))
def test_the_greatest_is_the_last_that_parses(rows: list[str]) -> None:
    """Pre-releases count; a row that does not parse never wins."""
    parsed = [row for row in sort_ascending(rows) if read_version(row)]
    assert greatest(rows) == (parsed[-1] if parsed else None)


def test_the_greatest_of_nothing_is_none() -> None:
    """A package whose versions are all yanked has no latest."""
    assert greatest([]) is None
    assert greatest(["junk"]) is None
    assert greatest(["1.0.0-rc.1", "0.9.0", "junk"]) == VersionText("1.0.0-rc.1")
