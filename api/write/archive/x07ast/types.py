"""Types in signatures: a name, a type variable `["t", name]`, or an application `[name, type, …]`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from api.write.archive.x07ast.names import local_name, type_name
from api.write.archive.x07ast.node import Node
from shared.strict_json import Json
from shared.text import rust_quote

INTEGERS: Final = frozenset({"i32", "u32"})
RAW_POINTERS: Final = frozenset(
    {"ptr_const_u8", "ptr_mut_u8", "ptr_const_void", "ptr_mut_void", "ptr_const_i32", "ptr_mut_i32"}
)
BYTES_LIKE: Final = frozenset(
    {
        "bytes",
        "bytes_view",
        "option_bytes",
        "option_bytes_view",
        "result_bytes",
        "result_bytes_view",
        "result_result_bytes",
    }
)
FOREIGN: Final = INTEGERS | RAW_POINTERS
NAMED: Final = FOREIGN | BYTES_LIKE | {"vec_u8", "option_i32", "result_i32", "iface", "f64"}


def check_type(node: Node) -> None:
    """Raise X07AstInvalid unless the value is a type. Undeclared variables are for lint_rules.py to find."""
    if not isinstance(node.value, list):
        if node.text() not in NAMED:
            raise node.error(f"unknown type: {rust_quote(node.text())}")
        return
    if not node.value:
        raise node.error("type list must not be empty")
    head, *arguments = node.items()
    is_variable = type_name(head) == "t"
    if not arguments or (is_variable and len(arguments) > 1):
        raise node.error(f"wrong number of type arguments: {len(arguments)}")
    for argument in arguments:
        if is_variable:
            local_name(argument)
        else:
            check_type(argument)


def is_bytes_like(value: Json) -> bool:
    """True if values of this checked type may carry a brand."""
    return _flat_name(value) in BYTES_LIKE


def type_variables(value: Json) -> Iterator[str]:
    """The variables in a checked type, from left to right."""
    match value:
        case ["t", str(name)]:
            yield name
        case [_, *arguments]:
            for argument in arguments:
                yield from type_variables(argument)


def _flat_name(value: Json) -> str | None:
    """The named type that a type is equivalent to: `["option", "bytes"]` is `option_bytes`."""
    match value:
        case str():
            return value
        case ["option" | "result" as head, argument]:
            return f"{head}_{_flat_name(argument)}"
        case _:
            return None
