"""A module file: its head and its declarations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from api.write.archive.x07ast.expressions import check_expression
from api.write.archive.x07ast.names import local_name, symbol
from api.write.archive.x07ast.node import Node, X07AstInvalid
from api.write.archive.x07ast.signatures import Function, parse_function
from api.write.archive.x07ast.types import INTEGERS
from shared.strict_json import JsonInvalid, parse_json
from shared.text import rust_quote, trim

SCHEMA_MINORS: Final = {f"x07.x07ast@0.{minor}.0": minor for minor in range(3, 10)}
KINDS: Final = frozenset({"entry", "module"})

_COMPILER_ORDER: Final = ("extern", "defn", "defasync")
_DATA_TYPES_SINCE: Final = 9
_DATA_TYPES: Final = {"defrecord": ("fields", "ty"), "defenum": ("variants", "payload")}


@dataclass(frozen=True, slots=True)
class Module:
    """A well-formed module file. kind: `entry` or `module`. functions: in file order."""

    kind: str
    module_id: str
    imports: frozenset[str]
    has_exports: bool
    functions: tuple[Function, ...]
    solve: Node | None

    def numbered_functions(self) -> Iterator[tuple[int, Function]]:
        """The functions with the compiler's numbers: exports are numbered first, then externs."""
        by_kind = sorted(self.functions, key=lambda function: _COMPILER_ORDER.index(function.kind))
        return enumerate(by_kind, int(self.has_exports))


def parse_module(data: bytes) -> Module:
    """Parse the bytes of a .x07.json file. Raises X07AstInvalid for the first fault."""
    try:
        root = Node(parse_json(data))
    except JsonInvalid as error:
        raise X07AstInvalid(f"invalid JSON: {error}") from None
    schema_minor = _schema_minor(root.require("schema_version"))
    kind = root.require("kind")
    if trim(kind.text()) not in KINDS:
        raise kind.error(f'expected "entry" or "module", got {rust_quote(kind.text())}')
    module_id = symbol(root.require("module_id"))
    imports = frozenset(map(symbol, root.require("imports").items()))
    has_exports, functions = _parse_declarations(root.require("decls"), module_id, schema_minor)
    solve = root.get("solve")
    if solve is not None:
        check_expression(solve)
    return Module(trim(kind.text()), module_id, imports, has_exports, functions, solve)


def _schema_minor(node: Node) -> int:
    minor = SCHEMA_MINORS.get(node.text())
    if minor is None:
        raise node.error(f"unsupported schema_version: {rust_quote(node.text())}")
    return minor


def _parse_declarations(decls: Node, module_id: str, schema_minor: int) -> tuple[bool, tuple[Function, ...]]:
    """Returns whether the module exports anything, and its functions."""
    has_exports = False
    functions: dict[str, Function] = {}
    for node in decls.items():
        kind = node.require("kind")
        match trim(kind.text()):
            case "export" if has_exports:
                raise kind.error("duplicate export decl")
            case "export":
                has_exports = bool([symbol(name) for name in node.require("names").items()])
            case "extern" | "defn" | "defasync" as function_kind:
                function = parse_function(node, function_kind, module_id, schema_minor)
                if function.name in functions:
                    raise node.require("name").error(f"duplicate function name: {rust_quote(function.name)}")
                functions[function.name] = function
            case "defrecord" | "defenum" as data_type if schema_minor >= _DATA_TYPES_SINCE:
                _check_data_type(node, data_type)
            case _:
                raise kind.error(f"unsupported decl kind: {rust_quote(kind.text())}")
    return has_exports, tuple(functions.values())


def _check_data_type(node: Node, kind: str) -> None:
    """Check the fields of a record, each with a type, or the variants of an enum, with optional payloads."""
    symbol(node.require("name"))
    member_field, type_field = _DATA_TYPES[kind]
    members = node.require(member_field)
    names: set[str] = set()
    for member in members.items():
        name = member.require("name")
        if local_name(name) in names:
            raise name.error(f"duplicate name: {rust_quote(name.text())}")
        names.add(name.text())
        declared = member.require(type_field) if kind == "defrecord" else member.get(type_field)
        if declared is not None and declared.text() not in INTEGERS:
            raise declared.error("expected i32 or u32")
    if not names:
        raise members.error("must not be empty")
