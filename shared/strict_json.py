"""Strict JSON as the contract defines it (1.8), which is stricter than the standard library's decoder.

The standard `json` module decodes; this module adds the checks that it lacks. Each check is linear in the
input, and the depth is checked before the recursive decoder starts, so no input overflows the stack.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Set as AbstractSet
from itertools import accumulate
from typing import Any, Final, NoReturn, TypeAlias, cast

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

MAX_DEPTH = 127

_INT64_MIN = -(2**63)
_UINT64_MAX = 2**64 - 1
_MAX_INTEGER_CHARS = 20  # both limits have 20 characters

_BYTE_ORDER_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS = bytes(set(range(256)) - set(_STEP))

# Everything up to a number or a constant, including strings, then that lexeme.
_LEXEME = re.compile(
    r'(?:[^"0-9NI-]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+'
    r"(?P<lexeme>NaN|-?Infinity|-?[0-9]++(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+)",
    re.DOTALL,
)
# Escapes and plain text up to an escaped surrogate that is not half of a pair.
_BEFORE_LONE_SURROGATE = re.compile(
    r"(?:[^\\]++|\\[^u]|\\u(?![dD][89a-fA-F])"
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})*+(?=\\u)"
)
_MAYBE_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class JsonInvalid(ValueError):
    """The bytes are not JSON. The message ends with line and column, both counted from 1."""


class RepeatedKey(JsonInvalid):
    """A known field of the top-level object occurs twice."""

    def __init__(self, key: str) -> None:
        super().__init__(f'duplicate field "{key}"')


class _NumberRefused(Exception):
    """The decoder met a number that JSON does not allow or that no double can hold."""

    def __init__(self, reason: str, lexeme: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.lexeme = lexeme


def parse_json(data: bytes, *, known_keys: AbstractSet[str] = frozenset()) -> Json:
    """The value of a JSON text in UTF-8 without BOM. Raises JsonInvalid.

    The text may be 127 levels deep. Integers outside 64 bits become floats. Lone surrogates and numbers that
    no double can hold are refused. known_keys: fields of the top-level object that may not be repeated
    (RepeatedKey); of any other repeated key the last value counts.
    """
    text = _decode_utf8(data)
    if _is_too_deep(data):
        raise JsonInvalid(f"nested deeper than {MAX_DEPTH} levels")
    root = _RootPairs()
    try:
        value = json.loads(
            text,
            object_pairs_hook=root if known_keys else None,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_refuse_constant,
        )
    except json.JSONDecodeError as error:
        raise _invalid(error.msg, text, error.pos) from None
    except _NumberRefused as error:
        raise _invalid(error.reason, text, _position_of(error.lexeme, text)) from None
    _require_paired_surrogates(text)
    if isinstance(value, dict):
        root.require_unique(known_keys)
    return cast(Json, value)


def parse_stored_json(text: str) -> Json:
    """The value of JSON that Postgres wrote. Integers outside 64 bits become floats, as in parse_json.

    jsonb writes numbers without exponents. A number beyond the range of a double, which only foreign SQL can
    have stored, becomes infinite and is rendered as null.
    """
    return cast(Json, _STORED.decode(text))


def _stored_integer(lexeme: str) -> int | float:
    return float(lexeme) if len(lexeme) > _MAX_INTEGER_CHARS else _integer(lexeme)


# Made once, because json.loads makes one at each call if it has any option.
_STORED: Final = json.JSONDecoder(parse_int=_stored_integer)


class _RootPairs:
    """Makes dicts for the decoder and remembers the pairs of the last closed object, at the end the root."""

    def __init__(self) -> None:
        self._pairs: list[tuple[str, Any]] = []

    def __call__(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        self._pairs = pairs
        return dict(pairs)

    def require_unique(self, known_keys: AbstractSet[str]) -> None:
        seen: set[str] = set()
        for key, _ in self._pairs:
            if key in seen and key in known_keys:
                raise RepeatedKey(key)
            seen.add(key)


def _decode_utf8(data: bytes) -> str:
    if data.startswith(_BYTE_ORDER_MARKS):
        raise _invalid("byte order mark (save as UTF-8 without one)", "", 0)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        valid = data[: error.start].decode()
        raise _invalid("invalid UTF-8", valid, len(valid)) from None


def _is_too_deep(data: bytes) -> bool:
    """True if arrays and objects are nested deeper than MAX_DEPTH before the first syntax error."""
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return False
    outside_strings = data.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')[::2]
    steps = b"".join(outside_strings).translate(None, delete=_NO_BRACKETS)
    return any(depth > MAX_DEPTH for depth in accumulate(map(_STEP.__getitem__, steps)))


def _integer(lexeme: str) -> int | float:
    if len(lexeme) <= _MAX_INTEGER_CHARS:
        number = int(lexeme)
        if _INT64_MIN <= number <= _UINT64_MAX:
            return number
    return _float(lexeme)


def _float(lexeme: str) -> float:
    number = float(lexeme)
    if math.isinf(number):
        raise _NumberRefused("number out of range", lexeme)
    return number


def _refuse_constant(lexeme: str) -> NoReturn:
    raise _NumberRefused("expecting value", lexeme)


def _position_of(lexeme: str, text: str) -> int:
    """The position of the first occurrence of the lexeme outside strings."""
    return next(m.start("lexeme") for m in _LEXEME.finditer(text) if m["lexeme"] == lexeme)


def _require_paired_surrogates(text: str) -> None:
    if _MAYBE_SURROGATE.search(text) and (before := _BEFORE_LONE_SURROGATE.match(text)):
        raise _invalid("lone surrogate in escape", text, before.end())


def _invalid(reason: str, text: str, position: int) -> JsonInvalid:
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    reason = reason[:1].lower() + reason[1:].removesuffix(" at").rstrip(": ")
    return JsonInvalid(f"{reason} at line {line} column {column}")
