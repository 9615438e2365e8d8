"""x07AST expressions: well-formed ones, the position of each fault, and limits of depth and time."""

from __future__ import annotations

import json
import time

import pytest

from api.write.archive.x07ast import X07AstInvalid, parse_module
from shared.strict_json import Json
from tests.archives import hello_module, json_bytes


def _parse(solve: str) -> None:
    """Check a module with this JSON as its `solve`."""
    data = json_bytes(hello_module(solve="SOLVE"))
    parse_module(data.replace(b'"SOLVE"', solve.encode()))


@pytest.mark.parametrize(
    "expression",
    [
        0,
        -(2**31),
        2**31 - 1,
        "atom",
        "",
        ["f"],
        ["f", ["g", 1, "a"], 2],
        ["bytes.lit", "any text\n"],
        ["bytes.view_lit", " ", "a"],
        ["bytes.lit", ["f"]],
        ["bytes.lit"],
    ],
)
def test_well_formed_expressions_are_accepted(expression: Json) -> None:
    """Integers have 32 bits; atoms and lists are allowed, and literals contain any text."""
    _parse(json.dumps(expression))


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (2**31, "number out of i32 range: 2147483648 at /solve"),
        (-(2**31) - 1, "number out of i32 range"),
        (1.0, "expected an integer, an atom string or a list at /solve"),
        (2**64, "expected an integer"),
        (True, "expected an integer"),
        (["f", None], "expected an integer, .* at /solve/1"),
        (["f", {}], "expected an integer, .* at /solve/1"),
        ("a b", "atom must not contain whitespace at /solve"),
        ("a\u2003b", "atom must not contain whitespace"),
        (["a b"], "atom must not contain whitespace at /solve/0"),
        ([], "list expression must not be empty at /solve"),
        ([1], "list head must be an atom string at /solve/0"),
        ([["f"]], "list head must be an atom string at /solve/0"),
        (["f", "a", ["g", ["h", []]]], "list expression must not be empty at /solve/2/1/1"),
        (["f", ["g", " "], []], "whitespace at /solve/1/1"),
        (["bytes.lit", "a", "b c"], "whitespace at /solve/2"),
        (["other.lit", "b c"], "whitespace at /solve/1"),
    ],
)
def test_a_fault_in_an_expression_is_refused(expression: Json, message: str) -> None:
    """The first fault in the order of the text is reported."""
    with pytest.raises(X07AstInvalid, match=message):
        _parse(json.dumps(expression))


def test_a_number_beyond_all_doubles_is_no_json() -> None:
    """Python's own decoder would turn it into infinity."""
    with pytest.raises(X07AstInvalid, match="invalid JSON: number out of range"):
        _parse("1e400")


def test_the_deepest_json_is_checked_without_a_recursion_limit() -> None:
    """127 levels: 126 lists inside the object of the module."""
    expression: Json = 0
    for _ in range(126):
        expression = ["f", expression]
    _parse(json.dumps(expression))
    with pytest.raises(X07AstInvalid, match="nested deeper than 127"):
        _parse(json.dumps(["f", expression]))


def test_a_large_module_is_checked_quickly() -> None:
    """200 KB of small lists, 13,000 of them: tens of milliseconds, where a quadratic step takes minutes."""
    body = ["begin", *(["let", f"x{index}", ["+", ["bytes.len", "b"], index]] for index in range(4500))]
    data = json_bytes(hello_module(solve=body))
    began = time.process_time()
    parse_module(data)
    assert time.process_time() - began < 10
