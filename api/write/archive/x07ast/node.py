"""A JSON value with its place in the module file. Its typed reads raise errors that name the place."""

from __future__ import annotations

from dataclasses import dataclass

from shared.strict_json import Json


class X07AstInvalid(ValueError):
    """The bytes are not x07AST.

    The message ends with the JSON pointer of the place, unless the place is the root.
    """


def invalid_at(pointer: str, message: str) -> X07AstInvalid:
    """The error for a place; pointer: RFC 6901, empty for the root."""
    return X07AstInvalid(f"{message} at {pointer}" if pointer else f"invalid x07AST: {message}")


@dataclass(frozen=True, slots=True)
class Node:
    """A value; pointer: RFC 6901. Reads raise X07AstInvalid when the value has another type."""

    value: Json
    pointer: str = ""

    def error(self, message: str) -> X07AstInvalid:
        """The error to raise for this value."""
        return invalid_at(self.pointer, message)

    def get(self, key: str) -> Node | None:
        """A field of this object, None when absent. A null is a value. key: without `~` and `/`."""
        if not isinstance(self.value, dict):
            raise self.error("expected an object")
        return Node(self.value[key], f"{self.pointer}/{key}") if key in self.value else None

    def require(self, key: str) -> Node:
        """A field that this object must have."""
        field = self.get(key)
        if field is None:
            raise self.error(f"missing required field: {key}")
        return field

    def items(self) -> list[Node]:
        """The items of this array."""
        if not isinstance(self.value, list):
            raise self.error("expected an array")
        return [Node(item, f"{self.pointer}/{index}") for index, item in enumerate(self.value)]

    def text(self) -> str:
        """This string."""
        if not isinstance(self.value, str):
            raise self.error("expected a string")
        return self.value
