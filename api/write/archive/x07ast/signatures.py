"""Declarations of functions: `defn`, `defasync` and `extern`."""

from __future__ import annotations

from dataclasses import dataclass

from api.write.archive.x07ast.contracts import contract_expressions
from api.write.archive.x07ast.expressions import check_expression
from api.write.archive.x07ast.names import local_name, require_local_name, symbol, type_name
from api.write.archive.x07ast.node import Node
from api.write.archive.x07ast.types import FOREIGN, check_type, is_bytes_like
from shared.text import rust_quote, trim


@dataclass(frozen=True, slots=True)
class Function:
    """A well-formed function.

    kind: `defn`, `defasync` or `extern`. pointer: of the declaration in the file. types: of the parameters
    and of the result, unless that is void. expressions: contract clauses, witnesses and the body; empty
    for an extern.
    """

    kind: str
    name: str
    pointer: str
    type_params: frozenset[str]
    types: tuple[Node, ...]
    expressions: tuple[Node, ...]


def parse_function(node: Node, kind: str, module_id: str, schema_minor: int) -> Function:
    """Parse a function's declaration. kind: as in Function. Raises X07AstInvalid."""
    name = node.require("name")
    if not symbol(name).startswith(f"{module_id}."):
        raise name.error(f"name must start with {rust_quote(f'{module_id}.')}")
    if kind == "extern":
        return _parse_extern(node, name)
    type_params = _type_params(node)
    contracts = contract_expressions(node, kind, schema_minor)
    types = _parameter_types(node)
    result = node.require("result")
    check_type(result)
    _check_brand(node.get("result_brand"), result)
    if (doc := node.get("doc")) is not None:
        doc.text()
    body = node.require("body")
    check_expression(body)
    return Function(kind, name.text(), node.pointer, type_params, (*types, result), (*contracts, body))


def _parse_extern(node: Node, name: Node) -> Function:
    """A C function. The linker knows it by its link name or by the last segment of its name."""
    abi = node.require("abi")
    if trim(abi.text()) != "C":
        raise abi.error(f"unsupported extern abi: {rust_quote(abi.text())}")
    if (link_name := node.get("link_name")) is not None:
        local_name(link_name)
    else:
        require_local_name(name.text().rpartition(".")[2], name)
    types = _parameter_types(node)
    result = node.require("result")
    if not (isinstance(result.value, str) and trim(result.value) == "void"):
        check_type(result)
        types.append(result)
    for declared in types:
        if not (isinstance(declared.value, str) and declared.value in FOREIGN):
            raise declared.error("extern has an unsupported type; only integers and raw pointers are allowed")
    return Function("extern", name.text(), node.pointer, frozenset(), tuple(types), ())


def _type_params(node: Node) -> frozenset[str]:
    names: set[str] = set()
    declared = node.get("type_params")
    for type_param in [] if declared is None else declared.items():
        name = type_param.require("name")
        if local_name(name) in names:
            raise name.error(f"duplicate type param name: {rust_quote(name.text())}")
        names.add(name.text())
        if (bound := type_param.get("bound")) is not None:
            type_name(bound)
    return frozenset(names)


def _parameter_types(node: Node) -> list[Node]:
    types: list[Node] = []
    for parameter in node.require("params").items():
        name = parameter.require("name")
        if local_name(name) == "input":
            raise name.error('parameter name must not be "input"')
        declared = parameter.require("ty")
        check_type(declared)
        _check_brand(parameter.get("brand"), declared)
        types.append(declared)
    return types


def _check_brand(brand: Node | None, declared: Node) -> None:
    if brand is None:
        return
    symbol(brand)
    if not is_bytes_like(declared.value):
        raise declared.error("a brand is only allowed on a bytes-like type")
