"""Facets of a package, from its name and its manifest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.facets import facets_of
from shared.strict_json import Json


def test_the_example_of_the_contract() -> None:
    """Facets of name and meta, trimmed, lower-cased, sorted and unique (3.7)."""
    meta: Json = {
        "facets": ["  curated  ", "binding:s3"],
        "bindings": [" Postgres ", "s3"],
        "runtimes": [" Native-Http "],
        "trust_profile": " Verified ",
        "capabilities": ["Object-Store", "database"],
    }
    assert facets_of("x07-ext-db-postgres-s3", meta) == (
        "binding:postgres",
        "binding:s3",
        "capability:database",
        "capability:object-store",
        "curated",
        "runtime:native-http",
        "trust:verified",
    )


@pytest.mark.parametrize(
    ("name", "facets"),
    [
        ("hello", ()),
        ("ext-db-x", ("capability:database",)),
        ("x07-ext-msg-x", ("capability:messaging",)),
        ("ext-obj-x", ("capability:object-store",)),
        ("EXT-DB-Redis", ("binding:redis", "capability:database")),
        ("my-ext-db-x", ()),
        ("ext-db", ()),
        ("ls3x", ("binding:s3",)),
        ("sqlite-amqp-redis", ("binding:amqp", "binding:redis", "binding:sqlite")),
    ],
)
def test_a_name_tells_its_family_and_bindings(name: str, facets: tuple[str, ...]) -> None:
    """A family is a prefix, a binding may be anywhere in the name."""
    assert facets_of(name, None) == facets


@pytest.mark.parametrize(
    ("key", "prefix"),
    [
        ("facets", ""),
        ("archetype", "archetype:"),
        ("archetypes", "archetype:"),
        ("binding", "binding:"),
        ("bindings", "binding:"),
        ("runtime", "runtime:"),
        ("runtimes", "runtime:"),
        ("trust_profile", "trust:"),
        ("trust_profiles", "trust:"),
        ("capability", "capability:"),
        ("capabilities", "capability:"),
    ],
)
def test_each_key_of_meta_has_its_prefix(key: str, prefix: str) -> None:
    """Values are a string or an array; other types and blank texts are ignored."""
    assert facets_of("hello", {key: " CLI\u3000"}) == (f"{prefix}cli",)
    assert facets_of("hello", {key: ["b", 1, None, ["c"], " ", "A\u212a"]}) == (
        f"{prefix}a\u212a",
        f"{prefix}b",
    )


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["facets", "binding", "x"]), inner),
    )
)
def test_any_stored_meta_has_facets(meta: Json) -> None:
    """Old manifests must not cause errors; the result is sorted and unique."""
    facets = facets_of("hello", meta)
    assert list(facets) == sorted(set(facets))
