"""Version requirements: the grammar of the contract (4.4) and Cargo's meaning of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.requirement import RequirementInvalid, matches, parse_requirement
from shared.versions import Version, read_version

VERSIONS = st.builds(
    Version, *(st.integers(0, 4) for _ in range(3)), pre=st.sampled_from(["", "0", "1", "alpha", "alpha.1"])
)


def _matches(requirement: str, text: str) -> bool:
    version = read_version(text)
    assert version is not None
    return matches(parse_requirement(requirement), version)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "*",
            "x",
            "X",
            " * ",
            "1",
            "1.2",
            "1.2.3",
            "0",
            "1.2.3-alpha.1+build.007",
            "1.2.3+b",
            "=1.2.3",
            "= 1, <2",
        ),
        *(
            ">1",
            ">=1.2",
            "<2",
            "<=1.2.3-rc.1",
            "~1.2",
            "^0.2",
            "1, ^ 1.2",
            "1.*",
            "1.x",
            "1.2.X",
            "1.*.*",
            ">=1.*",
        ),
        *(
            ">=0.1.111 <0.3.0",
            ">=0.1.111,<0.3.0",
            ">= 0.1.0, < 0.3.0",
            ">=0.1.0 , <0.3.0",
            "  >=0.1\t\u3000<0.3\n",
        ),
        *("18446744073709551615", ",".join(["1"] * 32), " ".join(["1"] * 32), "1.2.3--", "1.2.3-x"),
    ],
)
def test_a_requirement_of_cargo_is_accepted(text: str) -> None:
    """Comparators are separated by commas, or by white space if there is no comma."""
    assert parse_requirement(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            ",",
            "1,",
            ",1",
            "1,,2",
            "1, *",
            "*, 1",
            "* *",
            "*.1",
            "*.*",
            ">*",
            "x.1",
            "1.*.3",
            "1.*-a",
        ),
        *(
            ">= 0.1.0",
            "= 1",
            ">=0.1.0, <0.3.0,",
            ">=1,\t<2",
            ">=1 <2, <3",
            "=>1",
            "==1",
            "!1",
            "1 || 2",
            "1 - 2",
            "v1",
        ),
        *(
            "01",
            "1.02",
            "1.2.03",
            "1.2-alpha",
            "1+b",
            "1.2.3-",
            "1.2.3+",
            "1.2.3-01",
            "1.2.3-a..b",
            "1.2.3.4",
            "1.",
        ),
        *(
            "18446744073709551616",
            "9" * 10_000,
            ",".join(["1"] * 33),
            "1.2.\u0663",
            "\u2265 1",
            "1.2.3-\u00e9",
        ),
        *("latest", "^", "1.2.3\0", "1." + "*." * 10_000, "1," * 1_000_000),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    """A separate operator, a wildcard beside others, a trailing comma, too many or too large numbers."""
    with pytest.raises(RequirementInvalid):
        parse_requirement(text)


@pytest.mark.parametrize(
    ("requirement", "inside", "outside"),
    [
        ("1.2.3", "1.2.3 1.2.4 1.3.0", "1.2.2 2.0.0 0.2.3"),
        ("^1.2", "1.2.0 1.9.9", "1.1.9 2.0.0"),
        ("^1", "1.0.0 1.9.9", "0.9.9 2.0.0"),
        ("^0.2.3", "0.2.3 0.2.9", "0.2.2 0.3.0 1.2.3"),
        ("^0.2", "0.2.0 0.2.9", "0.1.9 0.3.0"),
        ("^0.0.3", "0.0.3", "0.0.2 0.0.4"),
        ("^0.0", "0.0.0 0.0.9", "0.1.0"),
        ("^0", "0.0.0 0.9.9", "1.0.0"),
        ("~1.2.3", "1.2.3 1.2.9", "1.2.2 1.3.0"),
        ("~1.2", "1.2.0 1.2.9", "1.1.9 1.3.0"),
        ("~1", "1.0.0 1.9.9", "0.9.9 2.0.0"),
        ("1.*", "1.0.0 1.9.9", "2.0.0"),
        ("1.2.*", "1.2.0 1.2.9", "1.3.0"),
        ("0.*", "0.0.0 0.9.9", "1.0.0"),
        ("=1.2.3", "1.2.3 1.2.3+build", "1.2.4"),
        ("=1.2", "1.2.0 1.2.9", "1.3.0 1.1.0"),
        ("=1.2.3+a", "1.2.3+b 1.2.3", "1.2.4"),
        (">1.2.3", "1.2.4 2.0.0", "1.2.3 1.2.3+build 1.2.2"),
        (">1.2", "1.3.0 2.0.0", "1.2.0 1.2.9"),
        (">1", "2.0.0", "1.9.9"),
        (">=1.2", "1.2.0 3.0.0", "1.1.9"),
        ("<1.2.3", "1.2.2 0.0.0", "1.2.3"),
        ("<1.2", "1.1.9", "1.2.0"),
        ("<=1.2", "1.2.9 1.0.0", "1.3.0"),
        (">=0.1.111 <0.3.0", "0.1.111 0.2.99", "0.1.110 0.3.0"),
        (">1.*", "2.0.0", "1.5.0"),
        ("*", "0.0.0 9.9.9 1.0.0+b", "1.0.0-a"),
    ],
)
def test_a_requirement_means_what_cargo_says(requirement: str, inside: str, outside: str) -> None:
    """The tables of the Cargo book, "Specifying Dependencies"; build metadata does not count."""
    assert all(_matches(requirement, version) for version in inside.split())
    assert not any(_matches(requirement, version) for version in outside.split())


@pytest.mark.parametrize(
    ("requirement", "inside", "outside"),
    [
        ("^1.2.3-beta", "1.2.3-beta 1.2.3-rc 1.2.3 1.3.0", "1.2.3-alpha 1.2.4-beta 1.3.0-beta"),
        ("~1.2.3-beta", "1.2.3-beta 1.2.3 1.2.9", "1.2.3-alpha 1.2.4-rc"),
        (">1.2.3-beta", "1.2.3-rc 1.2.3 2.0.0", "1.2.3-beta 1.2.4-rc"),
        ("<1.2.3-beta", "1.2.3-alpha 1.2.2", "1.2.3-beta 1.2.2-alpha 1.2.3"),
        ("=1.2.3-beta", "1.2.3-beta 1.2.3-beta+b", "1.2.3 1.2.3-beta.1"),
        ("^0.0.1-a", "0.0.1-a 0.0.1", "0.0.2 0.0.1-0"),
        (">=1.0.0, <1.2.3-beta", "1.2.3-alpha 1.1.0", "1.1.0-alpha"),
        (">=1.2.3-beta, ^1", "1.2.3-beta", "1.2.4-beta"),
        (">=1.2.3-beta, >=1", "1.2.3", "1.2.3-beta"),
        (">=1.2.3", "1.2.3", "1.2.3-beta 2.0.0-beta"),
        ("<2", "1.9.9", "2.0.0-beta 1.0.0-beta"),
    ],
)
def test_a_pre_release_needs_a_comparator_that_names_one(requirement: str, inside: str, outside: str) -> None:
    """It must have the same MAJOR.MINOR.PATCH, anywhere in the requirement."""
    assert all(_matches(requirement, version) for version in inside.split())
    assert not any(_matches(requirement, version) for version in outside.split())


@given(VERSIONS, VERSIONS)
def test_each_full_comparator_is_its_order(bound: Version, version: Version) -> None:
    """Apart from pre-releases, the four inequalities split all versions at the bound."""
    text = f"{bound.major}.{bound.minor}.{bound.patch}" + (f"-{bound.pre}" if bound.pre else "")
    truth = {
        operator: parse_requirement(operator + text).comparators[0].matches(version)
        for operator in ("<", "<=", "=", ">=", ">")
    }
    assert (truth["<"], truth["="], truth[">"]).count(True) == 1
    assert truth["<"] == (version.key < bound.key)
    assert truth["<="] == (truth["<"] or truth["="])
    assert truth[">="] == (truth[">"] or truth["="])


@given(VERSIONS, VERSIONS)
def test_a_caret_or_tilde_never_reaches_below_its_bound(bound: Version, version: Version) -> None:
    """A tilde allows no more than a caret does, except for a major of 0."""
    text = f"{bound.major}.{bound.minor}.{bound.patch}"
    caret, tilde, at_least = (matches(parse_requirement(op + text), version) for op in ("^", "~", ">="))
    assert at_least or not (caret or tilde)
    if bound.major:
        assert caret or not tilde


@given(st.text(st.characters()) | st.text("<>=~^*xX.,0123-+a \t", max_size=30))
def test_no_text_raises_anything_but_a_refusal(text: str) -> None:
    """White space at the ends changes nothing."""
    try:
        requirement = parse_requirement(text)
    except RequirementInvalid:
        with pytest.raises(RequirementInvalid):
            parse_requirement(f"\u3000{text}\n")
        return
    assert parse_requirement(f"\u3000{text}\n") == requirement
