"""x07AST files and declarations: well-formed ones, and the position of each fault."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.write.archive.x07ast import Module, X07AstInvalid, parse_module
from shared.strict_json import Json
from tests.archives import hello_module, json_bytes

LATEST = "x07.x07ast@0.9.0"
CLAUSE: dict[str, Json] = {"expr": 1}


def _parse(**fields: Any) -> Module:
    return parse_module(json_bytes(hello_module("m") | fields))


def _parse_declaration(schema_version: str = LATEST, **declaration: Any) -> Module:
    return _parse(schema_version=schema_version, decls=[declaration])


def _function(**fields: Any) -> dict[str, Any]:
    return {"kind": "defn", "name": "m.f", "params": [], "result": "i32", "body": 0} | fields


def _extern(**fields: Any) -> dict[str, Any]:
    return {"kind": "extern", "name": "m.c", "abi": "C", "params": [], "result": "void"} | fields


def _without(declaration: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in declaration.items() if name != key}


def _parameter(**fields: Any) -> list[dict[str, Any]]:
    return [{"name": "p", "ty": "bytes"} | fields]


def test_a_module_says_its_kind_id_imports_and_functions() -> None:
    """Declarations keep the order of the file; their numbers are the compiler's."""
    module = _parse(
        imports=["std.bytes", "ext.data_model", "std.bytes"],
        decls=[_function(), _extern(), {"kind": "export", "names": ["m.f"]}],
        solve=["m.f"],
        meta=3,
        unknown=None,
    )
    assert (module.kind, module.module_id, module.has_exports) == ("module", "m", True)
    assert module.imports == {"std.bytes", "ext.data_model"}
    assert [function.name for function in module.functions] == ["m.f", "m.c"]
    assert [(number, function.name) for number, function in module.numbered_functions()] == [
        (1, "m.c"),
        (2, "m.f"),
    ]


@pytest.mark.parametrize("minor", range(3, 10))
def test_every_schema_from_0_3_to_0_9_is_accepted(minor: int) -> None:
    """The current toolchain writes 0.9.0, most published modules are 0.3.0."""
    assert _parse(schema_version=f"x07.x07ast@0.{minor}.0").module_id == "m"


INVALID_FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "invalid JSON: expecting value at line 1 column 1"),
    "trailing data": (b"{} {}", "invalid JSON: extra data at line 1 column 4"),
    "not UTF-8": (b'{"a": "\xff"}', "invalid JSON: invalid UTF-8 at line 1 column 8"),
    "too deep": (b"[" * 128 + b"]" * 128, "invalid JSON: nested deeper than 127 levels"),
    "array": (b"[]", "invalid x07AST: expected an object"),
    "nothing in it": (b"{}", "invalid x07AST: missing required field: schema_version"),
}


@pytest.mark.parametrize(("data", "message"), INVALID_FILES.values(), ids=INVALID_FILES)
def test_a_file_that_is_no_object_of_json_is_refused(data: bytes, message: str) -> None:
    """The message has the place in the text; the root has no pointer."""
    with pytest.raises(X07AstInvalid) as invalid:
        parse_module(data)
    assert str(invalid.value) == message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schema_version": "x07.x07ast@0.2.0"}, "unsupported schema_version: .* at /schema_version"),
        ({"schema_version": "x07.x07ast@0.10.0"}, "unsupported schema_version"),
        ({"schema_version": None}, "expected a string at /schema_version"),
        ({"kind": "library"}, 'expected "entry" or "module", got "library" at /kind'),
        ({"module_id": ""}, 'invalid symbol: "" at /module_id'),
        ({"module_id": "a/b"}, "invalid symbol"),
        ({"module_id": "a..b"}, "invalid symbol"),
        ({"module_id": "a.1"}, "invalid symbol"),
        ({"imports": {}}, "expected an array at /imports"),
        ({"imports": ["a", 1]}, "expected a string at /imports/1"),
        ({"imports": ["a\\b"]}, "invalid symbol: .* at /imports/0"),
        ({"decls": None}, "expected an array at /decls"),
        ({"decls": [[]]}, "expected an object at /decls/0"),
        ({"decls": [{}]}, "missing required field: kind at /decls/0"),
        ({"decls": [{"kind": "struct"}]}, 'unsupported decl kind: "struct" at /decls/0/kind'),
        ({"decls": [{"kind": "defrecord"}]}, "unsupported decl kind"),
        ({"decls": [{"kind": "export"}]}, "missing required field: names at /decls/0"),
        ({"decls": [{"kind": "export", "names": ["a b"]}]}, "invalid symbol: .* at /decls/0/names/0"),
        ({"decls": [{"kind": "export", "names": ["m.f"]}] * 2}, "duplicate export decl at /decls/1/kind"),
        ({"decls": [_function(), _function()]}, 'duplicate function name: "m.f" at /decls/1/name'),
        ({"decls": [_function(name="m.c"), _extern()]}, "duplicate function name"),
        ({"solve": None}, "expected an integer, an atom string or a list at /solve"),
    ],
)
def test_a_fault_in_the_head_or_the_list_of_declarations_is_refused(
    fields: dict[str, Any], message: str
) -> None:
    """The first fault in the order of the checks, with its pointer."""
    with pytest.raises(X07AstInvalid, match=message):
        _parse(**fields)


@pytest.mark.parametrize("field", ["schema_version", "kind", "module_id", "imports", "decls"])
def test_a_required_field_of_the_file_that_is_missing_is_refused(field: str) -> None:
    """`solve` and `meta` are optional."""
    with pytest.raises(X07AstInvalid, match=f"^invalid x07AST: missing required field: {field}$"):
        parse_module(json_bytes(_without(hello_module("m"), field)))


@pytest.mark.parametrize(
    ("declaration", "field"),
    [(_function(), field) for field in ("name", "params", "result", "body")]
    + [(_extern(), field) for field in ("name", "abi", "params", "result")],
)
def test_a_required_field_of_a_function_that_is_missing_is_refused(
    declaration: dict[str, Any], field: str
) -> None:
    """The pointer is that of the declaration."""
    with pytest.raises(X07AstInvalid, match=f"^missing required field: {field} at /decls/0$"):
        _parse_declaration(**_without(declaration, field))


@pytest.mark.parametrize(
    "declaration",
    [
        {"kind": " export ", "names": []},
        _function(kind="defasync", name="m.deep-er.f_1", doc="What it does."),
        _function(params=_parameter(brand="std.text.utf8"), result="bytes_view", result_brand="utf8"),
        _function(params=_parameter(ty=["result", ["result", "bytes"]], brand="b")),
        _function(params=_parameter(ty=["option", "bytes_view"], brand="b")),
        _function(type_params=[{"name": "T", "bound": "any_type"}, {"name": "_u"}], result=["t", "T"]),
        _function(result=["map", "f64", ["list", ["t", "T"]]]),
        _function(requires=[CLAUSE], ensures=[CLAUSE | {"id": "e1", "witness": [1, "a"]}], invariant=[]),
        _function(loop_contracts=[{"ptr": "/body/1", "invariant": [CLAUSE], "decreases": [CLAUSE]}]),
        _function(decreases=[CLAUSE]),
        _function(kind="defasync", protocol={"await_invariant": [CLAUSE], "scope_invariant": []}),
        _function(unknown=None),
        _extern(abi=" C ", link_name="memcpy", result=" void "),
        _extern(params=[{"name": "p", "ty": "ptr_const_void"}, {"name": "n", "ty": "u32"}], result="i32"),
        _extern(requires="ignored"),
        {
            "kind": "defrecord",
            "name": "m.r",
            "fields": [{"name": "x", "ty": "i32"}, {"name": "y", "ty": "u32"}],
        },
        {"kind": "defenum", "name": "m.e", "variants": [{"name": "a"}, {"name": "b", "payload": "i32"}]},
    ],
)
def test_well_formed_declarations_are_accepted(declaration: dict[str, Any]) -> None:
    """Every optional part occurs once."""
    assert _parse_declaration(**declaration).module_id == "m"


@pytest.mark.parametrize(
    ("declaration", "message"),
    [
        (_function(name="f"), r'name must start with "m\." at /decls/0/name'),
        (_function(name="mf.g"), "name must start with"),
        (_function(name="m."), "invalid symbol"),
        (_function(doc=None), "expected a string at /decls/0/doc"),
        (_function(type_params={}), "expected an array at /decls/0/type_params"),
        (_function(type_params=["T"]), "expected an object at /decls/0/type_params/0"),
        (
            _function(type_params=[{"name": "a-b"}]),
            'invalid local name: "a-b" at /decls/0/type_params/0/name',
        ),
        (_function(type_params=[{"name": "T"}] * 2), "duplicate type param name: .* at .*/1/name"),
        (_function(type_params=[{"name": "T", "bound": "_x"}]), 'invalid type name: "_x"'),
        (_function(params=["p"]), "expected an object at /decls/0/params/0"),
        (_function(params=_parameter(name="input")), 'must not be "input" at /decls/0/params/0/name'),
        (_function(params=_parameter(name="a.b")), "invalid local name"),
        (_function(params=_parameter(ty="string")), 'unknown type: "string" at /decls/0/params/0/ty'),
        (
            _function(params=_parameter(ty="i32", brand="b")),
            "brand is only allowed .* at /decls/0/params/0/ty",
        ),
        (_function(params=_parameter(brand="a b")), "invalid symbol: .* at /decls/0/params/0/brand"),
        (_function(params=_parameter(ty=["list", "bytes"], brand="b")), "brand is only allowed"),
        (_function(params=_parameter(ty=["option", "bytes", "i32"], brand="b")), "brand is only allowed"),
        (_function(result_brand="b"), "brand is only allowed .* at /decls/0/result"),
        (_function(result=3), "expected a string at /decls/0/result"),
        (_function(result="void"), "unknown type"),
        (_function(result=[]), "type list must not be empty at /decls/0/result"),
        (_function(result=["option"]), "wrong number of type arguments: 0 at /decls/0/result"),
        (_function(result=["t", "A", "B"]), "wrong number of type arguments: 2"),
        (_function(result=["t", ["t", "A"]]), "expected a string at /decls/0/result/1"),
        (_function(result=["_x", "i32"]), "invalid type name: .* at /decls/0/result/0"),
        (_function(result=["option", ["option", "x"]]), "unknown type: .* at /decls/0/result/1/1"),
        (_function(body=None), "at /decls/0/body"),
        (_function(requires={}), "expected an array at /decls/0/requires"),
        (_function(requires=[{}]), "missing required field: expr at /decls/0/requires/0"),
        (_function(ensures=[CLAUSE | {"id": 1}]), "expected a string at /decls/0/ensures/0/id"),
        (_function(invariant=[CLAUSE | {"witness": [[]]}]), "at /decls/0/invariant/0/witness/0"),
        (_function(loop_contracts=[{}]), "missing required field: ptr at /decls/0/loop_contracts/0"),
        (_function(loop_contracts=[{"ptr": "", "decreases": [{}]}]), "loop_contracts/0/decreases/0"),
        (_function(protocol={}), "protocol is only allowed on defasync at /decls/0/protocol"),
        (_function(kind="defasync", decreases=[]), "decreases is only allowed on defn at /decls/0/decreases"),
        (_function(kind="defasync", protocol=[]), "expected an object at /decls/0/protocol"),
        (_function(kind="defasync", protocol={"cancellation_ensures": 1}), "expected an array"),
        (_extern(abi="Rust"), 'unsupported extern abi: "Rust" at /decls/0/abi'),
        (_extern(link_name="a-b"), "invalid local name: .* at /decls/0/link_name"),
        (_extern(link_name=None), "expected a string at /decls/0/link_name"),
        (_extern(name="m.a-b"), 'invalid local name: "a-b" at /decls/0/name'),
        (_extern(params=_parameter()), "unsupported type; .* at /decls/0/params/0/ty"),
        (_extern(params=[{"name": "p", "ty": "void"}]), 'unknown type: "void"'),
        (_extern(result="bytes"), "unsupported type; .* at /decls/0/result"),
        (_extern(result=["option", "i32"]), "unsupported type"),
        ({"kind": "defrecord", "name": "m.r", "fields": []}, "must not be empty at /decls/0/fields"),
        ({"kind": "defrecord", "name": "m.r", "fields": [{"name": "x"}]}, "missing required field: ty"),
        (
            {"kind": "defrecord", "name": "m.r", "fields": [{"name": "x", "ty": "bytes"}]},
            "expected i32 or u32",
        ),
        ({"kind": "defrecord", "name": "m.r", "fields": [{"name": "x", "ty": "i32"}] * 2}, "duplicate name"),
        ({"kind": "defenum", "name": "m.e", "variants": []}, "must not be empty at /decls/0/variants"),
        (
            {"kind": "defenum", "name": "m.e", "variants": [{"name": "a", "payload": None}]},
            "expected a string",
        ),
        ({"kind": "defenum", "variants": [{"name": "a"}]}, "missing required field: name"),
    ],
)
def test_a_fault_in_a_declaration_is_refused(declaration: dict[str, Any], message: str) -> None:
    """With its pointer; null is a value, not an absence."""
    with pytest.raises(X07AstInvalid, match=message):
        _parse_declaration(**declaration)


@pytest.mark.parametrize(
    ("since", "kind", "fields"),
    [
        (5, "defn", {"requires": []}),
        (5, "defn", {"ensures": []}),
        (5, "defasync", {"invariant": []}),
        (6, "defn", {"loop_contracts": []}),
        (7, "defasync", {"protocol": {}}),
        (8, "defn", {"decreases": []}),
    ],
)
def test_a_contract_needs_the_schema_that_brought_it(since: int, kind: str, fields: dict[str, Any]) -> None:
    """Even an empty contract needs it."""
    declaration = _function(kind=kind, **fields)
    _parse_declaration(f"x07.x07ast@0.{since}.0", **declaration)
    with pytest.raises(X07AstInvalid, match=rf"needs x07.x07ast@0\.{since}\.0 or newer at /decls/0/"):
        _parse_declaration(f"x07.x07ast@0.{since - 1}.0", **declaration)


NOT_SURROGATES = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
VALUES: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["t", "m.f", "bytes", "C"]) | NOT_SURROGATES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NOT_SURROGATES, inner, max_size=4),
    max_leaves=10,
)
FIELDS = st.sampled_from(
    [
        "kind",
        "name",
        "names",
        "params",
        "result",
        "body",
        "type_params",
        "requires",
        "protocol",
        "abi",
        "fields",
    ]
)
DECLARATIONS = st.builds(
    lambda declaration, changes: declaration | changes,
    st.sampled_from(
        [_function(), _extern(), {"kind": "export", "names": []}, {"kind": "defenum", "name": "m.e"}]
    ),
    st.dictionaries(FIELDS, VALUES, max_size=3),
)


@given(st.lists(DECLARATIONS, max_size=3) | VALUES, VALUES)
def test_whatever_the_json_is_the_answer_is_a_module_or_a_refusal(decls: Json, solve: Json) -> None:
    """No other exception is raised."""
    with suppress(X07AstInvalid):
        assert _parse(schema_version=LATEST, decls=decls, solve=solve).module_id == "m"
