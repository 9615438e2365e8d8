"""The manifest: its form, and every check that needs nothing else."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import RegistryError
from shared.manifest import (
    KNOWN_KEYS,
    Manifest,
    Release,
    check_has_modules,
    check_module_root,
    check_publishable,
    module_path,
    parse_manifest,
)
from shared.publish_errors import (
    BadManifest,
    CompatInvalid,
    CompatRequired,
    DescriptionRequired,
    DocsRequired,
    InvalidName,
    InvalidVersion,
    LicenseRequired,
    SchemaVersionUnsupported,
)
from shared.strict_json import Json

REAL_MANIFESTS = Path(__file__).parents[1] / "data" / "manifests.ndjson"

PUBLISHABLE: dict[str, Json] = {
    "schema_version": "x07.package@0.1.0",
    "name": "hello",
    "version": "0.1.0",
    "description": "Says hello.",
    "docs": "Import hello.main.",
    "license": "MIT",
    "module_root": "modules",
    "modules": ["hello.main"],
    "meta": {"x07c_compat": ">=0.1.111 <0.3.0"},
}


def _encode(**changes: Json) -> bytes:
    return json.dumps(PUBLISHABLE | changes).encode()


def _without(*keys: str) -> bytes:
    return json.dumps({key: value for key, value in PUBLISHABLE.items() if key not in keys}).encode()


def test_a_manifest_holds_its_fields_and_the_whole_object() -> None:
    """Unknown keys are kept for the database."""
    manifest = parse_manifest(_encode(extra={"kept": [1]}, docs=None))
    assert (manifest.name, manifest.version, manifest.modules) == ("hello", "0.1.0", ("hello.main",))
    assert manifest.docs is None
    assert manifest.meta == PUBLISHABLE["meta"]
    assert manifest.raw == PUBLISHABLE | {"extra": {"kept": [1]}, "docs": None}


def test_optional_fields_may_be_absent() -> None:
    """Later checks report their absence."""
    manifest = parse_manifest(_without("description", "docs", "license", "meta"))
    assert (manifest.description, manifest.docs, manifest.license, manifest.meta) == (None,) * 4


def test_every_published_manifest_parses() -> None:
    """Old versions lack only texts that became required later."""
    lines = REAL_MANIFESTS.read_bytes().splitlines()
    assert len(lines) == 140
    for line in lines:
        manifest = parse_manifest(line)
        check_module_root(manifest)
        check_has_modules(manifest)
        assert all(module_path(manifest.module_root, module) for module in manifest.modules)
        release = check_publishable(parse_manifest(_with_missing_texts(manifest)))
        assert (release.name, release.version) == (manifest.name, manifest.version)


def _with_missing_texts(manifest: Manifest) -> bytes:
    assert isinstance(manifest.meta, dict)
    texts = {"description": "d", "docs": "d", "license": "MIT"}
    return json.dumps(texts | manifest.raw | {"meta": {"x07c_compat": "*"} | manifest.meta}).encode()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "expecting value at line 1 column 1"),
        (b"[]", "expected an object"),
        (json.dumps(list(PUBLISHABLE.values())).encode(), "expected an object"),
        (b"null", "expected an object"),
        (_encode() + b"{}", "extra data at line 1 column"),
        (b"\xef\xbb\xbf" + _encode(), "byte order mark"),
        (_encode(description=float("nan")), "expecting value"),
        (_encode().replace(b"hello", b"h\xff"), "invalid UTF-8"),
        (_encode(docs="\ud800"), "lone surrogate"),
        (_encode(docs="a\0b"), "U+0000"),
        (_encode(meta={"deep": [{"a\0": 1}]}), "U+0000"),
        (_encode()[:-1] + b',"name":"other"}', 'duplicate field "name"'),
        (_encode(name=1), '"name" must be a string'),
        (_encode(name=None), '"name" must be a string'),
        (_encode(docs=1), '"docs" must be a string'),
        (_encode(modules="hello.main"), '"modules" must be an array of strings'),
        (_encode(modules=["hello.main", 1]), '"modules" must be an array of strings'),
        (_encode(modules=None), '"modules" must be an array of strings'),
        (_encode(modules={}), '"modules" must be an array of strings'),
    ],
)
def test_what_is_not_a_manifest_is_refused(data: bytes, reason: str) -> None:
    """Check 5: JSON, an object, the right types, nothing that the database cannot store."""
    with pytest.raises(BadManifest) as refusal:
        parse_manifest(data)
    assert refusal.value.message.startswith("parse x07-package.json: ")
    assert reason in refusal.value.message


@pytest.mark.parametrize("key", ["schema_version", "name", "version", "module_root", "modules"])
def test_a_required_field_may_not_be_missing(key: str) -> None:
    """Without one of the five, the old server did not read a manifest."""
    with pytest.raises(BadManifest, match=f'missing field "{key}"'):
        parse_manifest(_without(key))


@pytest.mark.parametrize("key", sorted(KNOWN_KEYS))
def test_a_known_field_may_not_be_repeated(key: str) -> None:
    """This holds even with the same value."""
    data = _encode()[:-1] + f",{json.dumps(key)}:{json.dumps(PUBLISHABLE[key])}}}".encode()
    with pytest.raises(BadManifest, match=f'duplicate field "{key}"'):
        parse_manifest(data)


def test_a_free_field_may_be_repeated() -> None:
    """The last one counts; a backslash before u0000 is not a NUL."""
    data = _encode()[:-1] + rb',"free":1,"free":"\\u0000"}'
    assert parse_manifest(data).raw["free"] == r"\u0000"


@pytest.mark.parametrize("root", ["modules", "a/b", "a//b/./", ".src", "m "])
def test_a_module_root_is_a_relative_path(root: str) -> None:
    """Check 6."""
    check_module_root(parse_manifest(_encode(module_root=root)))


@pytest.mark.parametrize("root", ["", " \u3000", "/modules", ".", "./modules", "..", "a/../b"])
def test_a_module_root_outside_the_archive_is_refused(root: str) -> None:
    """Check 6: blank, absolute, a leading dot, or `..` anywhere."""
    with pytest.raises(BadManifest, match="module_root"):
        check_module_root(parse_manifest(_encode(module_root=root)))


def test_a_package_has_modules() -> None:
    """Check 8."""
    check_has_modules(parse_manifest(_encode()))
    with pytest.raises(BadManifest, match="modules"):
        check_has_modules(parse_manifest(_encode(modules=[])))


@pytest.mark.parametrize(
    ("root", "module", "path"),
    [
        ("modules", "hello", "modules/hello.x07.json"),
        ("modules/", "hello.main", "modules/hello/main.x07.json"),
        ("a//b", "x..y", "a/b/x/y.x07.json"),
        ("a", "", "a/.x07.json"),
    ],
)
def test_a_module_lies_where_its_id_says(root: str, module: str, path: str) -> None:
    """Dots become slashes; a path has one spelling."""
    assert module_path(root, module) == path


@pytest.mark.parametrize("root", ["", "..", "/", "./a"])
def test_a_module_outside_the_archive_is_refused(root: str) -> None:
    """Check 9, which also works if the caller has skipped check 6."""
    with pytest.raises(BadManifest, match='invalid module id path for "hello"'):
        module_path(root, "hello")


@pytest.mark.parametrize(
    ("meta", "imports_ffi"),
    [
        (None, False),
        ([], False),
        ({}, False),
        ({"import_mode": "FFI"}, False),
        ({"import_mode": ["ffi"]}, False),
        ({"import_mode": "ffi"}, True),
    ],
)
def test_only_the_exact_import_mode_wants_ffi_files(meta: Json, imports_ffi: bool) -> None:
    """Check 11 compares without trimming."""
    assert parse_manifest(_encode(meta=meta)).imports_ffi is imports_ffi


def test_a_publishable_manifest_names_its_release() -> None:
    """Name, version and worlds are typed."""
    manifest = parse_manifest(_encode(schema_version=" x07.package@0.1.0\n"))
    assert check_publishable(manifest) == Release("hello", "0.1.0", ("solve-full",))


# Each row fails one check of 4.1, numbers 12 to 20, in that order.
BROKEN: list[tuple[dict[str, Json], type[RegistryError]]] = [
    ({"schema_version": "x07.package@0.2.0"}, SchemaVersionUnsupported),
    ({"name": "Hello"}, InvalidName),
    ({"version": "1.0"}, InvalidVersion),
    ({"description": "\u3000"}, DescriptionRequired),
    ({"docs": None}, DocsRequired),
    ({"license": " \n"}, LicenseRequired),
    ({"meta": {"worlds_allowed": []}}, CompatRequired),
    ({"meta": {"x07c_compat": ">= 1", "worlds_allowed": []}}, CompatInvalid),
    ({"meta": {"x07c_compat": "*", "worlds_allowed": []}}, BadManifest),
]


@pytest.mark.parametrize("first", range(len(BROKEN)))
def test_the_first_failing_check_is_the_one_that_is_told(first: int) -> None:
    """Every later check fails too."""
    changes: dict[str, Json] = {}
    for change, _ in reversed(BROKEN[first:]):
        changes |= change
    with pytest.raises(BROKEN[first][1]) as refusal:
        check_publishable(parse_manifest(_encode(**changes)))
    assert type(refusal.value) is BROKEN[first][1]


@pytest.mark.parametrize("meta", [None, [], "x", {}, {"x07c_compat": ""}, {"x07c_compat": " \u3000"}])
def test_a_compatibility_range_is_required(meta: Json) -> None:
    """Check 18: it is absent, blank, or meta is missing."""
    with pytest.raises(CompatRequired):
        check_publishable(parse_manifest(_encode(meta=meta)))


@pytest.mark.parametrize("compat", [None, 1, ["*"], "latest", ">= 1", "1 || 2"])
def test_a_compatibility_range_is_a_requirement(compat: Json) -> None:
    """Check 19: a string that Cargo would accept."""
    with pytest.raises(CompatInvalid):
        check_publishable(parse_manifest(_encode(meta={"x07c_compat": compat})))


def test_a_refusal_does_not_repeat_a_long_value() -> None:
    """Messages are for people."""
    with pytest.raises(InvalidVersion) as refusal:
        check_publishable(parse_manifest(_encode(version="9" * 1_000_000)))
    assert len(refusal.value.message) < 1000


@given(st.binary())
def test_no_bytes_raise_anything_but_a_refusal(data: bytes) -> None:
    """This holds for any bytes under the manifest's name."""
    with suppress(BadManifest):
        parse_manifest(data)


@given(
    st.dictionaries(
        st.sampled_from(sorted(KNOWN_KEYS)),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(st.characters()),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(st.sampled_from(["x07c_compat", "worlds_allowed", "import_mode"]), inner)
            ),
            max_leaves=5,
        ),
    )
)
def test_no_values_raise_anything_but_a_refusal(changes: dict[str, Json]) -> None:
    """This holds for every check."""
    with suppress(RegistryError):
        manifest = parse_manifest(_encode(**changes))
        check_module_root(manifest)
        check_has_modules(manifest)
        assert all(module_path(manifest.module_root, module) for module in manifest.modules)
        check_publishable(manifest)
