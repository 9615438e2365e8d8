"""Lint: each built-in rule, the rules that are not built in, and the verdict over worlds."""

from __future__ import annotations

from typing import Any

import pytest

from api.write.archive.lint_report import CAPABILITIES, MAX_FINDINGS, LintReport
from api.write.archive.lint_rules import Capability, Diagnostic, find_lint
from api.write.archive.x07ast import Module, parse_module
from shared.publish_errors import PublishLintFailed
from shared.strict_json import Json
from shared.worlds import WORLDS
from tests.archives import hello_module, json_bytes

RUN_WORLDS = {"run-os", "run-os-sandboxed"}


def _module(module_id: str = "m", **fields: Any) -> Module:
    return parse_module(json_bytes(hello_module(module_id, **fields)))


def _function(name: str = "m.f", **fields: Any) -> dict[str, Any]:
    return {"kind": "defn", "name": name, "params": [], "result": "i32", "body": 0} | fields


def _lint(**fields: Any) -> list[tuple[str, str, Capability | None]]:
    """Code, pointer and lacking capability of every finding, sorted."""
    found = find_lint(_module(schema_version="x07.x07ast@0.8.0", **fields))
    return sorted((one.diagnostic.code, one.diagnostic.pointer, one.lacks) for one in found)


def _verdict(*modules: Module, worlds: list[str]) -> str:
    """The message of the refusal, or an empty text."""
    report = LintReport(worlds)
    for module in modules:
        report.add(module)
    try:
        report.require_clean()
    except PublishLintFailed as error:
        return error.message
    return ""


@pytest.mark.parametrize(
    ("expression", "code", "pointer"),
    [
        (["+", 1], "X07-ARITY-BINOP-0001", "/solve"),
        (["<u", 1, 2, 3], "X07-ARITY-BINOP-0001", "/solve"),
        (["&&"], "X07-ARITY-BINOP-0001", "/solve"),
        (["if", 1, 2], "X07-ARITY-IF-0001", "/solve"),
        (["while", 1], "X07-ARITY-WHILE-0001", "/solve"),
        (["begin"], "X07-ARITY-BEGIN-0001", "/solve"),
        (["let", "a"], "X07-ARITY-LET-0001", "/solve"),
        (["set", "a", 1, 2], "X07-ARITY-LET-0001", "/solve"),
        (["set0", "a"], "X07-ARITY-LET-0001", "/solve"),
        (["return"], "X07-ARITY-RETURN-0001", "/solve"),
        (["for", 1, 0, 9, 0], "X07-FOR-0001", "/solve/1"),
        (["for", ["i"], 0, 9, 0], "X07-FOR-0001", "/solve/1"),
        (["bytes.concat", "a", "a"], "X07-MOVE-0001", "/solve/2"),
        (["f", 1, ["g", ["begin"]]], "X07-ARITY-BEGIN-0001", "/solve/2/1"),
    ],
)
def test_a_rule_about_the_shape_of_a_list_holds_in_every_world(
    expression: Json, code: str, pointer: str
) -> None:
    """The finding points to the list, or to the wrong argument."""
    assert _lint(solve=expression) == [(code, pointer, None)]


@pytest.mark.parametrize(
    "expression",
    [
        ["begin", ["let", "a", 1], ["set", "a", 2], ["+", "a", 1]],
        ["for", "i", 0, 9, ["begin", 0]],
        ["bytes.concat", "a", "b"],
        ["bytes.concat", ["f", "a"], ["f", "a"]],
        ["bytes.lit", "a text, with spaces"],
        ["osmosis.f", 1],
        ["std.osmosis.f", 1],
        ["my.os.f", 1],
        ["fs", 1],
        "std.os.f",
        ["t", "A"],
    ],
)
def test_right_expressions_have_no_findings(expression: Json) -> None:
    """Atoms, and names that only look like a capability's, need no capability."""
    assert _lint(solve=expression) == []


@pytest.mark.parametrize(
    "expression",
    [
        ["if", ["f", ["bytes.view", "a"]], ["bytes.view", "a"], 0],
        ["bytes.view", ["bytes.alloc", 1]],
        ["f", ["begin", ["let", "a", ["bytes.alloc", 1]], ["bytes.view", "a"]]],
        ["for", "i", 0, 9, 0, 0],
    ],
    ids=["X07-MOVE-0002", "X07-BORROW-0001", "X07-BORROW-0002", "X07-ARITY-FOR-0001"],
)
def test_rules_that_published_packages_break_are_not_built_in(expression: Json) -> None:
    """docs/decisions/0002: what the deployed registry accepted stays acceptable."""
    assert _lint(solve=expression) == []


@pytest.mark.parametrize(
    ("head", "code", "capability"),
    [
        ("unsafe", "X07-WORLD-UNSAFE-0001", Capability.UNSAFE),
        ("memcpy", "X07-WORLD-UNSAFE-0001", Capability.UNSAFE),
        ("vec_u8.as_mut_ptr", "X07-WORLD-UNSAFE-0001", Capability.UNSAFE),
        ("ptr.add", "X07-WORLD-UNSAFE-0001", Capability.UNSAFE),
        ("os.exit", "X07-WORLD-OS-0002", Capability.OS),
        ("std.os.env.get", "X07-WORLD-OS-0002", Capability.OS),
        ("fs.read", "X07-WORLD-FS-0001", Capability.FS),
        ("std.fs.read", "X07-WORLD-FS-0001", Capability.FS),
        ("rr.send", "X07-WORLD-RR-0001", Capability.RR),
        ("std.kv.get", "X07-WORLD-KV-0001", Capability.KV),
    ],
)
def test_a_call_that_needs_a_capability_says_which(head: str, code: str, capability: Capability) -> None:
    """The head of the list decides."""
    assert _lint(solve=[head, 0]) == [(code, "/solve", capability)]


@pytest.mark.parametrize(
    ("name", "code", "capability"),
    [
        ("std.os.env", "X07-WORLD-OS-0001", Capability.OS),
        ("std.fs", "X07-WORLD-0001", Capability.FS),
        ("std.rr", "X07-WORLD-0001", Capability.RR),
        ("std.kv", "X07-WORLD-0001", Capability.KV),
    ],
)
def test_an_import_that_needs_a_capability_says_which(name: str, code: str, capability: Capability) -> None:
    """`std.fs.x` and `std.os` are different modules."""
    assert _lint(imports=["std.fs.spec", "std.os", name]) == [(code, "/imports", capability)]


def test_externs_and_raw_pointers_in_signatures_need_their_capabilities() -> None:
    """Each parameter and each result counts separately."""
    pointer = {"name": "p", "ty": "ptr_mut_u8"}
    extern = {"kind": "extern", "name": "m.c", "abi": "C", "params": [pointer], "result": "void"}
    function = _function(params=[{"name": "n", "ty": "i32"}, pointer], result="ptr_const_i32")
    assert _lint(decls=[function, extern]) == [
        ("X07-WORLD-FFI-0001", "/decls/0/name", Capability.FFI),
        ("X07-WORLD-UNSAFE-0002", "/decls/0/params/0/ty", Capability.UNSAFE),
        ("X07-WORLD-UNSAFE-0002", "/decls/1/params/1/ty", Capability.UNSAFE),
        ("X07-WORLD-UNSAFE-0002", "/decls/1/result", Capability.UNSAFE),
    ]


def test_a_type_variable_must_be_declared() -> None:
    """This applies to signatures, once per type, and to the expressions of a function."""
    function = _function(
        type_params=[{"name": "A"}],
        params=[{"name": "x", "ty": ["t", "A"]}, {"name": "y", "ty": ["pair", ["t", "B"], ["t", "C"]]}],
        result=["option", ["t", "D"]],
        body=["tapp", ["t", "A"], ["t", "E"], ["t", "E", "more"]],
    )
    assert _lint(decls=[function]) == [
        ("X07-GENERICS-0001", "/decls/0/body/2", None),
        ("X07-GENERICS-0001", "/decls/0/params/1/ty", None),
        ("X07-GENERICS-0001", "/decls/0/result", None),
    ]


def test_declarations_are_numbered_as_the_compiler_does() -> None:
    """Exports come first, then externs, functions and async functions, unlike in the file."""
    wrong = ["begin"]
    decls = [
        _function("m.late", kind="defasync", body=wrong),
        _function("m.first", body=wrong),
        {"kind": "extern", "name": "m.c", "abi": "C", "params": [], "result": "void"},
        _function("m.second", body=wrong),
        {"kind": "export", "names": ["m.first"]},
    ]
    in_compiler_order = ["/decls/2/body", "/decls/3/body", "/decls/4/body"]
    assert [pointer for code, pointer, _ in _lint(decls=decls) if "BEGIN" in code] == in_compiler_order
    assert [pointer for _, pointer, _ in _lint(decls=decls[:2])] == ["/decls/0/body", "/decls/1/body"]


def test_contract_clauses_and_witnesses_are_walked() -> None:
    """Expressions are checked wherever they may be."""
    wrong = ["begin"]
    clause = {"expr": wrong, "witness": [0, wrong]}
    function = _function(
        requires=[clause], decreases=[clause], loop_contracts=[{"ptr": "/body", "invariant": [clause]}]
    )
    protocol = _function("m.a", kind="defasync", protocol={"await_invariant": [clause]})
    assert [pointer for _, pointer, _ in _lint(decls=[function, protocol])] == [
        "/decls/0/decreases/0/expr",
        "/decls/0/decreases/0/witness/1",
        "/decls/0/loop_contracts/0/invariant/0/expr",
        "/decls/0/loop_contracts/0/invariant/0/witness/1",
        "/decls/0/requires/0/expr",
        "/decls/0/requires/0/witness/1",
        "/decls/1/protocol/await_invariant/0/expr",
        "/decls/1/protocol/await_invariant/0/witness/1",
    ]


def test_every_world_of_the_contract_has_its_capabilities() -> None:
    """As in section 4.7: the file system in four worlds, the rest in two or three."""
    having = {need: {world for world, has in CAPABILITIES.items() if need in has} for need in Capability}
    assert CAPABILITIES.keys() == WORLDS
    assert having == {
        Capability.FS: {"solve-fs", "solve-full"} | RUN_WORLDS,
        Capability.RR: {"solve-rr", "solve-full"},
        Capability.KV: {"solve-kv", "solve-full"},
        Capability.OS: RUN_WORLDS,
        Capability.UNSAFE: RUN_WORLDS,
        Capability.FFI: RUN_WORLDS,
    }


PURE = _module("pure")
SYSTEM = _module("system", solve=["os.exit", 0])
WRONG = _module("wrong", solve=["if", 0])


@pytest.mark.parametrize(
    ("modules", "worlds"),
    [
        ([PURE], sorted(WORLDS)),
        ([SYSTEM], ["run-os"]),
        ([PURE, SYSTEM], ["run-os", "solve-pure"]),
        ([SYSTEM, PURE], ["run-os", "solve-pure"]),
    ],
)
def test_a_module_must_be_clean_in_one_world_only(modules: list[Module], worlds: list[str]) -> None:
    """This requires that every world has a clean module."""
    assert _verdict(*modules, worlds=worlds) == ""


def test_a_world_without_a_clean_module_is_refused() -> None:
    """Each module is clean in some world, so no diagnostic of a module counts."""
    assert _verdict(SYSTEM, worlds=["run-os", "solve-pure"]) == (
        "x07AST lint failed (1 error(s)).\n[solve-pure] <manifest>: no modules passed x07c lint"
    )


def test_a_module_that_is_clean_in_no_world_counts_in_each() -> None:
    """Its world diagnostics count; without any, a line says that it failed in all worlds."""
    error = 'X07-WORLD-OS-0002 OS capability is not enabled in this world: "os.exit" at /solve'
    assert _verdict(PURE, SYSTEM, worlds=["solve-fs", "solve-pure"]) == (
        f"x07AST lint failed (2 error(s)).\n[solve-fs] system: {error}\n[solve-pure] system: {error}"
    )
    assert _verdict(PURE, WRONG, worlds=["run-os", "solve-pure"]) == (
        "x07AST lint failed (3 error(s)).\n"
        "[run-os] wrong: X07-ARITY-IF-0001 if expects 3 args; got 1 at /solve\n"
        "[solve-pure] wrong: X07-ARITY-IF-0001 if expects 3 args; got 1 at /solve\n"
        'module "wrong" failed x07c lint in all allowed worlds'
    )


def test_several_forbidden_imports_are_one_error_in_a_world() -> None:
    """The compiler reports them as one."""
    module = _module(imports=["std.rr", "std.kv"])
    assert "(1 error(s))" in _verdict(PURE, module, worlds=["solve-fs"])


def test_errors_are_sorted_by_pointer_as_text_then_code() -> None:
    """So /solve/10 comes before /solve/2."""
    module = _module(solve=["f", *(["if", ["+", 1]] if index in (2, 10) else 0 for index in range(1, 11))])
    lines = _verdict(PURE, module, worlds=["run-os"]).splitlines()[1:5]
    assert [line.rpartition(" at ")[2] for line in lines] == [
        "/solve/10",
        "/solve/10/1",
        "/solve/2",
        "/solve/2/1",
    ]
    diagnostics = [Diagnostic("/b", "A", "a"), Diagnostic("/a", "B", "a"), Diagnostic("/a", "A", "b")]
    assert [one.code for one in sorted(diagnostics)] == ["A", "B", "A"]


def test_twenty_errors_are_shown_and_all_are_counted() -> None:
    """This keeps the answer short."""
    module = _module(solve=["f", *[["begin"]] * 100])
    summary, *lines = _verdict(PURE, module, worlds=["run-os", "solve-pure"]).splitlines()
    assert summary == "x07AST lint failed (201 error(s))."
    assert len(lines) == 20


def test_an_error_behind_very_many_findings_of_a_world_still_counts() -> None:
    """Findings are limited for each capability separately."""
    module = _module(solve=["f", ["begin"], *[["os.exit", 0]] * (MAX_FINDINGS + 1), ["begin"]])
    assert "X07-ARITY-BEGIN-0001" in _verdict(PURE, module, worlds=["run-os", "solve-pure"])
    legitimate = _module(solve=["f", *[["os.exit", 0]] * (MAX_FINDINGS + 1)])
    assert _verdict(PURE, legitimate, worlds=["run-os", "solve-pure"]) == ""
