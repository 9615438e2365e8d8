"""Expressions: a 32-bit integer, an atom, or a list `[head, argument, …]`.

A module has tens of thousands of expressions, so pointers are rendered only for messages. Recursion is safe,
because the JSON decoder limits nesting.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from api.write.archive.x07ast.node import Node, invalid_at
from shared.strict_json import Json
from shared.text import WHITE_SPACE

Place: TypeAlias = "str | tuple[Place, int]"
"""The JSON pointer of an outermost expression, or (place of the enclosing list, index in it)."""

INT32_MIN: Final = -(2**31)
INT32_MAX: Final = 2**31 - 1

_LITERALS: Final = ("bytes.lit", "bytes.view_lit")
_WHITE_SPACE = re.compile(f"[{WHITE_SPACE}]")


@dataclass(frozen=True, slots=True)
class _Fault:
    """An error message, and the list indices that lead to the value, innermost first."""

    message: str
    indices: tuple[int, ...] = ()

    def inside(self, index: int) -> _Fault:
        """The same fault with its path extended by the index of this value in the enclosing list."""
        return _Fault(self.message, (*self.indices, index))


def check_expression(node: Node) -> None:
    """Raise X07AstInvalid for the first value, in the order of the text, that is not an expression."""
    fault = _find_fault(node.value)
    if fault is not None:
        pointer = "/".join([node.pointer, *map(str, reversed(fault.indices))])
        raise invalid_at(pointer, fault.message)


def lists_in(node: Node) -> Iterator[tuple[str, list[Json], Place]]:
    """Every list in a checked expression, in no particular order: its head, the list and its place."""
    stack: list[tuple[Json, Place]] = [(node.value, node.pointer)]
    while stack:
        items, place = stack.pop()
        if isinstance(items, list):
            yield str(items[0]), items, place
            stack += [(item, (place, index)) for index, item in enumerate(items) if type(item) is list]


def render_place(place: Place) -> str:
    """The place as a JSON pointer."""
    indices: list[str] = []
    while isinstance(place, tuple):
        place, index = place
        indices.append(str(index))
    return "/".join([place, *reversed(indices)])


def _find_fault(value: Json) -> _Fault | None:
    if isinstance(value, list):
        return _find_fault_in_list(value)
    if isinstance(value, str):
        return _Fault("atom must not contain whitespace") if _WHITE_SPACE.search(value) else None
    if type(value) is not int:  # isinstance would accept true and false as integers
        return _Fault("expected an integer, an atom string or a list")
    return None if INT32_MIN <= value <= INT32_MAX else _Fault(f"number out of i32 range: {value}")


def _find_fault_in_list(items: list[Json]) -> _Fault | None:
    if not items:
        return _Fault("list expression must not be empty")
    if not isinstance(items[0], str):
        return _Fault("list head must be an atom string", (0,))
    has_text = items[0] in _LITERALS and len(items) > 1 and isinstance(items[1], str)
    for index, item in enumerate(items):
        if has_text and index == 1:
            continue
        if (fault := _find_fault(item)) is not None:
            return fault.inside(index)
    return None
