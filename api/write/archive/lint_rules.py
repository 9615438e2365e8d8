"""The built-in lint rules, which are rules of the x07 compiler (contract, 4.7).

docs/decisions/0002-which-lint-rules-are-built-in.md names the omitted rules and the reasons.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import Final

from api.write.archive.x07ast import (
    RAW_POINTERS,
    Function,
    Module,
    Node,
    Place,
    lists_in,
    render_place,
    type_variables,
)
from shared.strict_json import Json
from shared.text import rust_quote


class Capability(Enum):
    """A capability that a world may grant to a module."""

    FS = "filesystem"
    RR = "request/response"
    KV = "key/value"
    OS = "OS"
    UNSAFE = "unsafe"
    FFI = "ffi"


@dataclass(frozen=True, slots=True, order=True)
class Diagnostic:
    """An error of the compiler's lint. Diagnostics sort as in its reports. pointer: RFC 6901."""

    pointer: str
    code: str
    message: str

    @property
    def is_of_world(self) -> bool:
        """True if this world lacks a capability that another world may have."""
        return self.code.startswith("X07-WORLD-")


@dataclass(frozen=True, slots=True)
class Finding:
    """A diagnostic for all worlds without the capability; if capability is None, for all worlds."""

    diagnostic: Diagnostic
    lacks: Capability | None = None


# fmt: off
_BINARY_OPERATORS: Final = (
    "+", "-", "*", "/", "%", "&", "|", "^", "&&", "||", "<<u", ">>u",
    "=", "!=", "<", "<=", ">", ">=", "<u", "<=u", ">u", ">=u",
)
# fmt: on
_EXACT_ARITY: Final = {
    "if": ("X07-ARITY-IF-0001", 3),
    "while": ("X07-ARITY-WHILE-0001", 2),
    "let": ("X07-ARITY-LET-0001", 2),
    "set": ("X07-ARITY-LET-0001", 2),
    "set0": ("X07-ARITY-LET-0001", 2),
    "return": ("X07-ARITY-RETURN-0001", 1),
    **dict.fromkeys(_BINARY_OPERATORS, ("X07-ARITY-BINOP-0001", 2)),
}
_BLOCKS: Final = {"begin": "X07-ARITY-BEGIN-0001", "unsafe": "X07-ARITY-UNSAFE-0001"}

_SHAPED_HEADS: Final = _EXACT_ARITY.keys() | _BLOCKS.keys() | {"for", "bytes.concat"}

_UNSAFE_HEADS: Final = frozenset(
    {
        "unsafe",
        "addr_of",
        "addr_of_mut",
        "memcpy",
        "memmove",
        "memset",
        "bytes.as_ptr",
        "bytes.as_mut_ptr",
        "view.as_ptr",
        "vec_u8.as_ptr",
        "vec_u8.as_mut_ptr",
    }
)
_NAMESPACES: Final = {
    "os": (Capability.OS, "X07-WORLD-OS-0002"),
    "fs": (Capability.FS, "X07-WORLD-FS-0001"),
    "rr": (Capability.RR, "X07-WORLD-RR-0001"),
    "kv": (Capability.KV, "X07-WORLD-KV-0001"),
}
_ADAPTERS: Final = {"std.fs": Capability.FS, "std.rr": Capability.RR, "std.kv": Capability.KV}


def find_lint(module: Module) -> Iterator[Finding]:
    """Every finding in a well-formed module, in no particular order."""
    yield from _lint_imports(module.imports)
    for number, function in module.numbered_functions():
        yield from _lint_function(function, f"/decls/{number}")
    if module.solve is not None:
        yield from _lint_expression(module.solve)


def _lint_imports(imports: frozenset[str]) -> Iterator[Finding]:
    if any(name.startswith("std.os.") for name in imports):
        message = "std.os.* modules are not allowed in solve-* worlds"
        yield Finding(Diagnostic("/imports", "X07-WORLD-OS-0001", message), Capability.OS)
    for name in _ADAPTERS.keys() & imports:
        message = "program imports modules not allowed in this world"
        yield Finding(Diagnostic("/imports", "X07-WORLD-0001", message), _ADAPTERS[name])


def _lint_function(function: Function, pointer: str) -> Iterator[Finding]:
    """Check a function's types and expressions. pointer: of the declaration in the compiler's numbering."""
    if function.kind == "extern":
        what = f"extern decl {rust_quote(function.name)}"
        yield _lacks(Capability.FFI, f"{pointer}/name", "X07-WORLD-FFI-0001", what)
    for node in function.types:
        yield from _lint_type(_moved(node, function, pointer), function)
    for node in function.expressions:
        yield from _lint_expression(_moved(node, function, pointer), function.type_params)


def _moved(node: Node, function: Function, pointer: str) -> Node:
    return Node(node.value, pointer + node.pointer.removeprefix(function.pointer))


def _lint_type(node: Node, function: Function) -> Iterator[Finding]:
    if isinstance(node.value, str) and node.value in RAW_POINTERS:
        what = f"raw pointer type in signature of {rust_quote(function.name)}"
        yield _lacks(Capability.UNSAFE, node.pointer, "X07-WORLD-UNSAFE-0002", what)
    undeclared = (name for name in type_variables(node.value) if name not in function.type_params)
    for name in islice(undeclared, 1):
        yield _undeclared(node.pointer, name)


def _lint_expression(expression: Node, type_params: frozenset[str] | None = None) -> Iterator[Finding]:
    """type_params: the type variables in scope; None outside functions, where any may be used."""
    for head, items, place in lists_in(expression):
        if head in _SHAPED_HEADS:
            yield from _lint_shape(head, items, place)
        elif head == "t" and type_params is not None:
            yield from _lint_type_variable(items, place, type_params)
        if (need := _need_of(head)) is not None:
            capability, code = need
            yield _lacks(capability, render_place(place), code, rust_quote(head))


def _lint_type_variable(items: list[Json], place: Place, type_params: frozenset[str]) -> Iterator[Finding]:
    match items:
        case [_, str(name)] if name not in type_params:
            yield _undeclared(render_place(place), name)


def _lint_shape(head: str, items: list[Json], place: Place) -> Iterator[Finding]:
    """Rules that hold in every world."""
    count = len(items) - 1
    code, expected = _EXACT_ARITY.get(head, ("", count))
    if count != expected:
        yield _error(place, code, f"{head} expects {expected} args; got {count}")
    if not count and head in _BLOCKS:
        yield _error(place, _BLOCKS[head], f"{head} expects at least 1 expression")
    if head == "for" and count and not isinstance(items[1], str):
        yield _error((place, 1), "X07-FOR-0001", "for variable must be an identifier")
    if head == "bytes.concat" and count == 2 and isinstance(items[1], str) and items[1] == items[2]:
        yield _error((place, 2), "X07-MOVE-0001", "bytes.concat uses the same identifier twice")


def _need_of(head: str) -> tuple[Capability, str] | None:
    """The capability that a list with this head needs, and the error code if the world lacks it."""
    if head in _UNSAFE_HEADS or head.startswith("ptr."):
        return Capability.UNSAFE, "X07-WORLD-UNSAFE-0001"
    namespace, dot, _ = head.removeprefix("std.").partition(".")
    return _NAMESPACES.get(namespace) if dot else None


def _error(place: Place, code: str, message: str) -> Finding:
    return Finding(Diagnostic(render_place(place), code, message))


def _undeclared(pointer: str, name: str) -> Finding:
    message = f"undefined type var: {rust_quote(name)} (not declared in type_params)"
    return Finding(Diagnostic(pointer, "X07-GENERICS-0001", message))


def _lacks(capability: Capability, pointer: str, code: str, what: str) -> Finding:
    message = f"{capability.value} capability is not enabled in this world: {what}"
    return Finding(Diagnostic(pointer, code, message), capability)
