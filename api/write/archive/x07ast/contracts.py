"""Contracts of a function: requires, ensures and invariant clauses, and which schemas have them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from api.write.archive.x07ast.expressions import check_expression
from api.write.archive.x07ast.node import Node

# The minor version of the schema (0.<minor>.0) that introduced each field.
_SINCE: Final = {
    "requires": 5,
    "ensures": 5,
    "invariant": 5,
    "loop_contracts": 6,
    "protocol": 7,
    "decreases": 8,
}
_ONLY_ON: Final = {"protocol": "defasync", "decreases": "defn"}
_CLAUSE_FIELDS: Final = ("requires", "ensures", "invariant", "decreases")
_LOOP_FIELDS: Final = ("invariant", "decreases")
_PROTOCOL_FIELDS: Final = ("await_invariant", "scope_invariant", "cancellation_ensures")


def contract_expressions(function: Node, kind: str, schema_minor: int) -> list[Node]:
    """Check the contracts of a `defn` or `defasync` and return their expressions. Raises X07AstInvalid."""
    for field, since in _SINCE.items():
        if (node := function.get(field)) is None:
            continue
        if schema_minor < since:
            raise node.error(f"{field} needs x07.x07ast@0.{since}.0 or newer")
        if _ONLY_ON.get(field, kind) != kind:
            raise node.error(f"{field} is only allowed on {_ONLY_ON[field]}")
    expressions = [*_clauses(function, _CLAUSE_FIELDS)]
    for loop in _optional_items(function, "loop_contracts"):
        loop.require("ptr").text()
        expressions += _clauses(loop, _LOOP_FIELDS)
    if (protocol := function.get("protocol")) is not None:
        expressions += _clauses(protocol, _PROTOCOL_FIELDS)
    for expression in expressions:
        check_expression(expression)
    return expressions


def _clauses(owner: Node, fields: tuple[str, ...]) -> Iterator[Node]:
    """The expressions and witnesses in the clause arrays of an object."""
    for field in fields:
        for clause in _optional_items(owner, field):
            if (clause_id := clause.get("id")) is not None:
                clause_id.text()
            yield clause.require("expr")
            yield from _optional_items(clause, "witness")


def _optional_items(owner: Node, field: str) -> list[Node]:
    node = owner.get(field)
    return [] if node is None else node.items()
