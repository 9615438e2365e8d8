"""JSON as strict as the contract requires: accepted texts, refused texts, and the place of a fault."""

from __future__ import annotations

import json
import math
import time
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.strict_json import Json, JsonInvalid, RepeatedKey, parse_json, parse_stored_json

NOT_SURROGATES = st.text(st.characters(exclude_categories=("Cs",)))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | NOT_SURROGATES,
    lambda inner: st.lists(inner) | st.dictionaries(NOT_SURROGATES, inner),
    max_leaves=20,
)
JSON_LIKE = st.text('{}[]",:\\u0dD8bcC9eE+-.1NaInfity\n \t', max_size=60)
FRAGMENTS = [
    "NaN",
    "-Infinity",
    "1e999",
    r"\ud800",
    r"\udc00",
    "\\",
    '"',
    "[",
    "]",
    "{",
    "}",
    ",",
    "-",
    "0",
    "",
]


@st.composite
def almost_json(draw: st.DrawFn) -> str:
    """A JSON text with an insertion, or with one character replaced."""
    text = json.dumps(draw(VALUES))
    position = draw(st.integers(0, len(text)))
    return text[:position] + draw(st.sampled_from(FRAGMENTS)) + text[position + draw(st.integers(0, 1)) :]


ALMOST_JSON = almost_json()


@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_what_json_can_write_is_read_back(value: Json, ensure_ascii: bool, indent: int | None) -> None:
    """Escaped or not, compact or on several lines."""
    text = json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)
    assert parse_json(text.encode()) == value


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b" \t\r\n{}\n", {}),
        (b"18446744073709551615", 2**64 - 1),
        (b"-9223372036854775808", -(2**63)),
        (b"1e2", 100.0),
        (b"1e-999", 0.0),
        (rb'"\ud83d\ude00 \u00e9 \\ud800 \/"', "\U0001f600 \u00e9 \\ud800 /"),
        (b'"\x7f\xe2\x80\xa8"', "\x7f\u2028"),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b"[" * 127 + b"]" * 127, json.loads("[" * 127 + "]" * 127)),
        (b'["' + b"[" * 500 + b'"]', ["[" * 500]),
        (b'["' + rb"\"[\\" * 500 + b'"]', ['"[\\' * 500]),
        (b"[" + b"[]," * 500 + b"[]]", [[]] * 501),
    ],
)
def test_strict_json_is_read(data: bytes, value: Json) -> None:
    """White space, limits, escapes, the last of repeated keys, 127 levels, brackets in strings."""
    assert parse_json(data) == value


@pytest.mark.parametrize(
    ("lexeme", "value"),
    [("18446744073709551616", 2.0**64), ("-9223372036854775809", -(2.0**63)), ("1" + "0" * 300, 1e300)],
)
def test_integers_outside_64_bits_become_floats(lexeme: str, value: float) -> None:
    """The old server stored them like this."""
    parsed = parse_json(f"[{lexeme}]".encode())
    assert parsed == [value]
    assert isinstance(parsed, list)
    assert isinstance(parsed[0], float)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expecting value at line 1 column 1"),
        (b"\xef\xbb\xbf{}", "byte order mark (save as UTF-8 without one) at line 1 column 1"),
        (b'{\n "\xff"}', "invalid UTF-8 at line 2 column 3"),
        ('["\u00e9'.encode() + b'\xed\xa0\x80"]', "invalid UTF-8 at line 1 column 4"),
        ("{}".encode("utf-16"), "byte order mark (save as UTF-8 without one) at line 1 column 1"),
        (b"{} x", "extra data at line 1 column 4"),
        (b"01", "extra data at line 1 column 2"),
        (b"[1,]", "expecting value at line 1 column 4"),
        (b"{'a':1}", "expecting property name enclosed in double quotes at line 1 column 2"),
        (b'"\n"', "invalid control character at line 1 column 2"),
        (rb'"\x"', "invalid \\escape at line 1 column 2"),
        (b'["a', "unterminated string starting at line 1 column 2"),
        (b'["NaN", "-Infinity",\n NaN]', "expecting value at line 2 column 2"),
        (b'["-Infinity",-Infinity]', "expecting value at line 1 column 14"),
        (b"Infinity", "expecting value at line 1 column 1"),
        (b'{"1e999":[1.5,\n 1e999]}', "number out of range at line 2 column 2"),
        (b"[1e999-1]", "number out of range at line 1 column 2"),
        (b"[-" + b"1" * 5000 + b"]", "number out of range at line 1 column 2"),
        (rb'["\\ud800\"", "x\udc00"]', "lone surrogate in escape at line 1 column 17"),
        (rb'"\ud800\ud800\udc00"', "lone surrogate in escape at line 1 column 2"),
        (rb'{"\uDFFF":1}', "lone surrogate in escape at line 1 column 3"),
        (b"[" * 128 + b"]" * 128, "nested deeper than 127 levels"),
        (b'{"a":' * 100_000, "nested deeper than 127 levels"),
    ],
)
def test_what_is_not_strict_json_is_refused_with_its_place(data: bytes, message: str) -> None:
    """Line and column are counted in characters, from 1."""
    with pytest.raises(JsonInvalid) as refusal:
        parse_json(data)
    assert str(refusal.value) == message


def test_a_known_field_may_not_be_repeated() -> None:
    """This applies at the top level only, whatever is between or inside."""
    known = frozenset({"a", "b"})
    with pytest.raises(RepeatedKey, match='duplicate field "a"'):
        parse_json(b'{"a":{"x":1},"c":[{}],"a":{"x":1}}', known_keys=known)
    with pytest.raises(RepeatedKey, match='duplicate field "b"'):
        parse_json(rb'{"b":1,"\u0062":1}', known_keys=known)


def test_free_keys_may_be_repeated() -> None:
    """Unknown fields, and known names inside other values: the last one counts."""
    data = b'{"a":{"b":1,"b":2},"c":1,"c":{"a":1,"a":3}}'
    assert parse_json(data, known_keys=frozenset({"a", "b"})) == {"a": {"b": 2}, "c": {"a": 3}}
    assert parse_json(b'[{"a":1,"a":2}]', known_keys=frozenset({"a"})) == [{"a": 2}]


@given(st.binary() | JSON_LIKE.map(str.encode), st.sampled_from([frozenset(), frozenset({"", "a"})]))
@example(b"\\", frozenset())
def test_no_bytes_raise_anything_but_a_refusal(data: bytes, known_keys: frozenset[str]) -> None:
    """Neither RecursionError nor a plain ValueError."""
    with suppress(JsonInvalid):
        parse_json(data, known_keys=known_keys)


@given(JSON_LIKE | ALMOST_JSON)
@example('{"":NaN,"":1}')
@example("[1e999-1]")
def test_the_standard_library_reads_the_same_or_is_too_lax(text: str) -> None:
    """It is too lax for numbers beyond doubles and for half a surrogate pair."""
    try:
        everything = json.loads(text, object_pairs_hook=list)
    except ValueError:
        with pytest.raises(JsonInvalid):
            parse_json(text.encode())
        return
    if _is_strict(everything):
        assert parse_json(text.encode()) == json.loads(text, parse_int=_integer_or_float)
    else:
        with pytest.raises(JsonInvalid, match=r"expecting value|out of range|surrogate"):
            parse_json(text.encode())


def _is_strict(value: object) -> bool:
    """True if a value, whose objects are lists of pairs, is strict JSON."""
    match value:
        case float():
            return math.isfinite(value)
        case str():
            return not any("\ud800" <= character <= "\udfff" for character in value)
        case list() | tuple():
            return all(map(_is_strict, value))
        case _:
            return True


def _integer_or_float(lexeme: str) -> int | float:
    return int(lexeme) if -(2**63) <= int(lexeme) < 2**64 else float(lexeme)


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 5_000_000,
        b"[" + b"[]," * 1_600_000 + b"[]]",
        b"1" * 5_000_000,
        b"-" * 5_000_000,
        b"0." + b"1" * 5_000_000,
        b'"' + b"a" * 5_000_000 + b'"',
        b'[["' + rb"\"" * 2_500_000,
        rb'"' + rb"\ud83d\ude00" * 400_000 + rb'\ud800"',
        b'["NaN",' + b'"",' * 1_600_000 + b"NaN]",
    ],
    ids=["deep", "wide", "integer", "minus", "fraction", "string", "quotes", "surrogates", "late-nan"],
)
def test_five_hostile_megabytes_take_linear_time(data: bytes) -> None:
    """Linear steps take less than a second; a quadratic step would take hours."""
    began = time.process_time()
    with suppress(JsonInvalid):
        parse_json(data)
    assert time.process_time() - began < 10


@given(VALUES | st.integers())
def test_a_stored_value_is_the_value_that_came_in(value: Json) -> None:
    """jsonb writes numbers without exponents; beyond 64 bits they are floats in both directions."""
    text = json.dumps(value)
    assert parse_stored_json(text) == parse_json(text.encode())


def test_a_stored_number_of_any_length_is_read() -> None:
    """Foreign SQL can store numbers beyond doubles; the row must still be readable."""
    assert parse_stored_json("9" * 10_000) == math.inf
    assert parse_stored_json(f"[1{'0' * 308}]") == [1e308]
