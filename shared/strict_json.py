"""JSON as strict as the contract wants it (1.8); stricter than the standard library's decoder.

The work is done by `json` in C; here are the checks that it lacks. Each is linear in the input,
and the depth is known before the recursive decoder starts, so no input makes it overflow.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Set as AbstractSet
from itertools import accumulate
from typing import Any, NoReturn, TypeAlias, cast

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

MAX_DEPTH = 127

_INT64_MIN = -(2**63)
_UINT64_MAX = 2**64 - 1
_MAX_INTEGER_CHARS = 20  # both limits have 20 characters

_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS = bytes(set(range(256)) - set(_STEP))

# Everything up to a number or a constant, strings included, then that lexeme.
_LEXEME = re.compile(
    r'(?:[^"0-9NI-]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+'
    r"(?P<lexeme>NaN|-?Infinity|-?[0-9]++(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+)",
    re.DOTALL,
)
# Escapes and plain text up to an escaped surrogate that is not one half of a pair.
_BEFORE_LONE_SURROGATE = re.compile(
    r"(?:[^\\]++|\\[^u]|\\u(?![dD][89a-fA-F])"
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})*+(?=\\u)"
)
_MAYBE_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class JsonInvalid(ValueError):
    """The bytes are not JSON; the message ends in line and column, both from 1."""


class RepeatedKey(JsonInvalid):
    """A known field of the top-level object is there twice."""

    def __init__(self, key: str) -> None:
        super().__init__(f'duplicate field "{key}"')


class _NumberRefused(Exception):
    """The decoder met a number that is none of JSON's, or beyond the range of a double."""

    def __init__(self, reason: str, lexeme: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.lexeme = lexeme


def parse_json(data: bytes, *, known_keys: AbstractSet[str] = frozenset()) -> Json:
    """The value of a JSON text in UTF-8 without BOM. Raises JsonInvalid.

    At most 127 levels deep. Integers outside 64 bits become floats; a number that no double can
    hold is refused, as are lone surrogates. known_keys: fields of the top-level object of which a
    repetition is refused (RepeatedKey); of every other repeated key the last value counts.
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


class _RootPairs:
    """Makes dicts for the decoder; remembers the pairs of the last object closed, in the end the root."""

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
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        valid = data[: error.start].decode()
        raise _invalid("invalid UTF-8", valid, len(valid)) from None


def _is_too_deep(data: bytes) -> bool:
    """True if more than MAX_DEPTH arrays and objects lie in each other before the first syntax error."""
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
    """Where the lexeme stands outside of strings for the first time."""
    return next(m.start("lexeme") for m in _LEXEME.finditer(text) if m["lexeme"] == lexeme)


def _require_paired_surrogates(text: str) -> None:
    if _MAYBE_SURROGATE.search(text) and (before := _BEFORE_LONE_SURROGATE.match(text)):
        raise _invalid("lone surrogate in escape", text, before.end())


def _invalid(reason: str, text: str, position: int) -> JsonInvalid:
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    reason = reason[:1].lower() + reason[1:].removesuffix(" at").rstrip(": ")
    return JsonInvalid(f"{reason} at line {line} column {column}")
