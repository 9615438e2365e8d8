"""Uploaded archives: what is accepted, each refusal, and which refusal comes first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.write.archive.check import MAX_MANIFEST_BYTES, MAX_MODULE_BYTES, CheckedArchive, check_archive
from shared.errors import RegistryError
from shared.publish_errors import (
    BadArchive,
    BadManifest,
    DescriptionRequired,
    InvalidName,
    InvalidScaleEvidence,
    InvalidScaleMeta,
    PublishLintFailed,
)
from tests.archives import (
    END,
    build_archive,
    entry,
    hello_archive,
    hello_manifest,
    hello_module,
    json_bytes,
    listed_files,
    pax,
)

Check = Callable[[bytes], CheckedArchive]

COMPAT = {"x07c_compat": ">=0.1.111 <0.3.0"}
MODULE = "modules/greeting.x07.json"
FILES = listed_files(hello_manifest())


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Check an archive, given as bytes."""
    upload = tmp_path / "upload"

    def check_bytes(archive: bytes) -> CheckedArchive:
        upload.write_bytes(archive)
        return check_archive(upload, allowed_hosts=["x07.io"], allowed_buckets=[])

    return check_bytes


def _archive_of_modules(**modules: Any) -> bytes:
    """An archive of modules given by id: a dictionary, or the bytes of the file."""
    files = {
        f"modules/{module_id}.x07.json": module if isinstance(module, bytes) else json_bytes(module)
        for module_id, module in modules.items()
    }
    return build_archive(hello_manifest(modules=list(modules)), files)


def test_a_publishable_archive_says_what_it_publishes(check: Check) -> None:
    """Name, version, worlds, scale and the whole manifest."""
    meta = {
        **COMPAT,
        "worlds_allowed": ["solve-pure", "run-os"],
        "scale_classes_supported": "Large",
        "scale_test_evidence_ref": "https://x07.io/evidence/1",
    }
    checked = check(hello_archive("hello", "1.2.3", meta=meta, extra="kept"))
    assert (checked.name, checked.version) == ("hello", "1.2.3")
    assert checked.worlds == ("run-os", "solve-pure")
    assert checked.scale.classes == ("large",)
    assert checked.scale.tested
    assert checked.manifest.raw["extra"] == "kept"


@pytest.mark.parametrize(
    "archive",
    [
        hello_archive(module_root="modules/"),
        hello_archive(module_root="src//./deep"),
        hello_archive(modules=["a.b.c", "a", "a.b.c"]),
        hello_archive(meta={**COMPAT, "import_mode": "ffi"}),
        hello_archive(meta={**COMPAT, "import_mode": "handwritten"}),
        build_archive(hello_manifest(), FILES | {"README.md": b"hi", "Modules/Other.x07.json": b"not JSON"}),
        build_archive(hello_manifest(), FILES, first=entry("modules/", kind=b"5")),
        build_archive(hello_manifest(), FILES, last=entry("modules", kind=b"5")),
        build_archive(hello_manifest(), {"modules//./greeting.x07.json": FILES[MODULE]}),
        build_archive(hello_manifest(), {}, last=pax({"path": MODULE}) + entry("short", FILES[MODULE])),
    ],
)
def test_an_archive_may_be_laid_out_in_many_ways(check: Check, archive: bytes) -> None:
    """Paths are compared by components; directories, extra files and any order are allowed."""
    assert check(archive).name == "hello"


REFUSED: dict[str, tuple[bytes, type[RegistryError], str]] = {
    "empty body": (b"", BadArchive, "the body is empty"),
    "no entries": (END, BadArchive, "missing x07-package.json"),
    "no manifest": (build_archive(None, FILES), BadArchive, "missing x07-package.json"),
    "manifest elsewhere": (
        build_archive(None, FILES | {"hello/x07-package.json": json_bytes(hello_manifest())}),
        BadArchive,
        'missing x07-package.json: found "hello/x07-package.json"; pack with `tar',
    ),
    "manifest below ./": (
        build_archive(
            None, {"./x07-package.json": json_bytes(hello_manifest())}, first=entry("./", kind=b"5")
        ),
        BadArchive,
        'missing x07-package.json: found "./x07-package.json"; pack with `tar --format=gnu -cf FILE'
        " -C DIR x07-package.json modules`",
    ),
    "manifest in capitals": (
        build_archive(None, {"X07-Package.json": json_bytes(hello_manifest())}),
        BadArchive,
        'found "X07-Package.json"',
    ),
    "manifest with a slash": (
        build_archive(None, FILES, first=entry("x07-package.json/", json_bytes(hello_manifest()))),
        BadArchive,
        "a slash after its name",
    ),
    "manifest with a byte order mark": (
        build_archive(None, FILES, manifest_text=b"\xef\xbb\xbf" + json_bytes(hello_manifest())),
        BadManifest,
        "parse x07-package.json: byte order mark (save as UTF-8 without one)",
    ),
    "manifest is a directory": (
        build_archive(hello_manifest(), FILES, first=entry("x07-package.json", kind=b"5")),
        BadManifest,
        "parse x07-package.json",
    ),
    "manifest is a link": (
        build_archive(None, FILES, first=entry("x07-package.json", kind=b"2", link=b"/etc/passwd")),
        BadArchive,
        "a symbolic link",
    ),
    "manifest is huge": (
        build_archive(None, FILES, manifest_text=b" " * (MAX_MANIFEST_BYTES + 1)),
        BadArchive,
        "has more than",
    ),
    "manifest is not JSON": (
        build_archive(None, FILES, manifest_text=b"{"),
        BadManifest,
        "parse x07-package.json: ",
    ),
    "module_root leaves": (hello_archive(module_root="../modules"), BadManifest, "module_root"),
    "module_root is blank": (hello_archive(module_root=" "), BadManifest, "module_root"),
    "absolute path": (
        build_archive(hello_manifest(), FILES | {"/etc/passwd": b""}),
        BadArchive,
        'invalid tar entry path: "/etc/passwd"',
    ),
    "path with ..": (
        build_archive(hello_manifest(), FILES | {"a/../../b": b""}),
        BadArchive,
        'invalid tar entry path: "a/../../b"',
    ),
    "path with leading ./": (
        build_archive(hello_manifest(), FILES | {"./a": b""}),
        BadArchive,
        'invalid tar entry path: "./a"',
    ),
    "root directory": (
        build_archive(hello_manifest(), FILES, first=entry("./", kind=b"5")),
        BadArchive,
        "-C DIR x07-package.json modules`",
    ),
    "pax path leaves": (
        build_archive(hello_manifest(), FILES, last=pax({"path": "../a"}) + entry("a")),
        BadArchive,
        'invalid tar entry path: "../a"',
    ),
    "long name leaves": (
        build_archive(hello_manifest(), FILES | {"../" * 50 + "a": b""}),
        BadArchive,
        "invalid tar entry path",
    ),
    "duplicate file": (
        build_archive(hello_manifest(), FILES, last=entry(MODULE)),
        BadArchive,
        f'duplicate tar entry path: "{MODULE}"',
    ),
    "duplicate by components": (
        build_archive(hello_manifest(), FILES, last=entry("modules/.//greeting.x07.json")),
        BadArchive,
        f'duplicate tar entry path: "{MODULE}"',
    ),
    "duplicate manifest": (
        build_archive(hello_manifest(), FILES, last=entry("x07-package.json", b"{}")),
        BadArchive,
        "duplicate tar entry path",
    ),
    "link": (
        build_archive(hello_manifest(), FILES, last=entry("a", kind=b"2", link=b"b")),
        BadArchive,
        "a symbolic link",
    ),
    "no modules": (hello_archive(modules=[]), BadManifest, "modules must not be empty"),
    "module is missing": (
        build_archive(hello_manifest(modules=["greeting", "other.part"]), FILES),
        BadArchive,
        'package archive missing module file for "other.part": modules/other/part.x07.json',
    ),
    "module is a directory": (
        build_archive(hello_manifest(), {}, last=entry(MODULE, kind=b"5")),
        BadArchive,
        'package archive missing module file for "greeting"',
    ),
    "ffi without files": (
        build_archive(hello_manifest(meta={**COMPAT, "import_mode": "ffi"}), FILES | {"ffi": b""}),
        BadArchive,
        "no file under ffi/",
    ),
    "invalid name": (hello_archive("Hello"), InvalidName, "lower-case"),
    "no description": (hello_archive(description=None), DescriptionRequired, "description"),
    "module with a byte order mark": (
        _archive_of_modules(greeting=b"\xef\xbb\xbf" + json_bytes(hello_module())),
        PublishLintFailed,
        "invalid JSON: byte order mark (save as UTF-8 without one)",
    ),
    "module is not JSON": (
        _archive_of_modules(greeting=b"{\n]"),
        PublishLintFailed,
        'module "greeting" failed to parse as x07AST: invalid JSON: ',
    ),
    "module is not x07AST": (
        _archive_of_modules(greeting=hello_module(imports=["a b"])),
        PublishLintFailed,
        'module "greeting" failed to parse as x07AST: invalid symbol: "a b" at /imports/0',
    ),
    "module is an entry": (
        _archive_of_modules(greeting=hello_module(kind="entry")),
        PublishLintFailed,
        'module "greeting" must have kind="module"',
    ),
    "module has another id": (
        _archive_of_modules(greeting=hello_module("welcome")),
        PublishLintFailed,
        'module "greeting" has a mismatched module_id "welcome"',
    ),
    "module does not lint": (
        _archive_of_modules(greeting=hello_module(solve=["if", 1])),
        PublishLintFailed,
        "x07AST lint failed (3 error(s)).",
    ),
    "a later module does not parse": (
        _archive_of_modules(greeting=hello_module(solve=["if", 1]), other=b""),
        PublishLintFailed,
        'module "other" failed to parse',
    ),
    "module is huge": (
        _archive_of_modules(greeting=b" " * (MAX_MODULE_BYTES + 1)),
        BadArchive,
        "has more than",
    ),
    "modules are huge together": (
        _archive_of_modules(**{f"m{n}": b" " * MAX_MODULE_BYTES for n in range(5)}),
        BadArchive,
        "the modules have more than",
    ),
    "scale class": (
        hello_archive(meta={**COMPAT, "scale_classes_supported": 3}),
        InvalidScaleMeta,
        "scale_classes_supported",
    ),
    "scale evidence": (
        hello_archive(meta={**COMPAT, "scale_test_evidence_ref": "https://elsewhere.test/"}),
        InvalidScaleEvidence,
        "elsewhere.test",
    ),
}


@pytest.mark.parametrize(("archive", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_each_refusal_has_its_code_and_says_what_is_wrong(
    check: Check, archive: bytes, error: type[RegistryError], message: str
) -> None:
    """The contract's checks 4 to 21, and scale metadata."""
    with pytest.raises(RegistryError) as refusal:
        check(archive)
    assert type(refusal.value) is error
    assert message in refusal.value.message


# The contract's order of checks. Each fault is combined with all later ones, which it must hide.
FAULTS: list[tuple[type[RegistryError], str, dict[str, Any]]] = [
    (BadManifest, "parse x07-package.json", {"manifest": {"name": 1}}),
    (BadManifest, "module_root", {"manifest": {"module_root": "/m"}}),
    (BadArchive, "invalid tar entry path", {"files": {"../a": b""}}),
    (BadManifest, "modules must not be empty", {"manifest": {"modules": []}}),
    (BadArchive, "missing module file", {"manifest": {"modules": ["greeting", "absent"]}}),
    (BadArchive, "no file under ffi/", {"meta": {"import_mode": "ffi"}}),
    (InvalidName, "name", {"manifest": {"name": ""}}),
    (DescriptionRequired, "description", {"manifest": {"description": " "}}),
    (BadManifest, "worlds_allowed", {"meta": {"worlds_allowed": []}}),
    (PublishLintFailed, "failed to parse", {"files": {MODULE: b"{}"}}),
    (InvalidScaleMeta, "scale_tested", {"meta": {"scale_tested": "yes"}}),
]


@pytest.mark.parametrize("first", range(len(FAULTS)))
def test_the_first_failing_check_of_the_contract_answers(check: Check, first: int) -> None:
    """This holds whatever else is wrong, and even if the manifest comes last in the archive."""
    manifest, meta, files = hello_manifest(), dict(COMPAT), dict(FILES)
    for _, _, fault in reversed(FAULTS[first:]):
        manifest |= fault.get("manifest", {})
        meta |= fault.get("meta", {})
        files |= fault.get("files", {})
    error, message, _ = FAULTS[first]
    with pytest.raises(error, match=message):
        check(build_archive(manifest | {"meta": meta}, files))


def test_a_manifest_that_does_not_parse_answers_before_damage_behind_it(check: Check) -> None:
    """Check 5 comes before the paths of check 7, but damage before the manifest is found first."""
    manifest, damage = entry("x07-package.json", b"{"), b"\1" * 512
    with pytest.raises(BadManifest):
        check(manifest + damage)
    with pytest.raises(BadArchive):
        check(damage + manifest)
