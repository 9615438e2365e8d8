"""Every refusal of a publish: its code, no row, no visible object, and no blocked version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.archives import (
    build_archive,
    entry,
    hello_archive,
    hello_manifest,
    hello_module,
    json_bytes,
    listed_files,
    pax,
)
from tests.stack import Registry

MANIFEST = hello_manifest()
FILES = listed_files(MANIFEST)
BAD_ARCHIVE, BAD_MANIFEST = "X07REG_BAD_ARCHIVE", "X07REG_BAD_MANIFEST"
LINT, SCALE = "X07REG_PUBLISH_LINT_FAILED", "X07REG_INVALID_SCALE_META"


def with_entry(extra: bytes) -> bytes:
    """A publishable archive with one more entry."""
    return build_archive(MANIFEST, FILES, last=extra)


def with_meta(**meta: Any) -> bytes:
    """A publishable archive with these keys added to the manifest's meta."""
    return hello_archive(meta={"x07c_compat": ">=0.1.111 <0.3.0", **meta})


def with_module(**overrides: Any) -> bytes:
    """A publishable archive with another module."""
    return build_archive(MANIFEST, {"modules/greeting.x07.json": json_bytes(hello_module(**overrides))})


REFUSALS = {
    "empty": (b"", BAD_ARCHIVE),
    "no_tar": (b"<html>" * 400, BAD_ARCHIVE),
    "gzipped": (b"\x1f\x8b\x08" + bytes(2000), BAD_ARCHIVE),
    "truncated": (hello_archive()[:1700], BAD_ARCHIVE),
    "no_manifest": (build_archive(None, FILES), BAD_ARCHIVE),
    "absolute_path": (with_entry(entry("/etc/passwd", b"x")), BAD_ARCHIVE),
    "parent_path": (with_entry(entry("modules/../../x", b"x")), BAD_ARCHIVE),
    "dot_path": (with_entry(entry("./x", b"x")), BAD_ARCHIVE),
    "pax_parent_path": (with_entry(pax({"path": "../x"}) + entry("y", b"x")), BAD_ARCHIVE),
    "symbolic_link": (with_entry(entry("a", kind=b"2", link=b"/etc/passwd")), BAD_ARCHIVE),
    "hard_link": (with_entry(entry("a", kind=b"1", link=b"x07-package.json")), BAD_ARCHIVE),
    "device": (with_entry(entry("a", kind=b"3")), BAD_ARCHIVE),
    "fifo": (with_entry(entry("a", kind=b"6")), BAD_ARCHIVE),
    "duplicate_member": (with_entry(entry("modules//greeting.x07.json", b"{}")), BAD_ARCHIVE),
    "lying_size": (with_entry(entry("a", b"x", size=1 << 40)), BAD_ARCHIVE),
    "too_many_members": (
        with_entry(b"".join(entry(f"d/{number}") for number in range(20_001))),
        BAD_ARCHIVE,
    ),
    "missing_module": (build_archive(MANIFEST, {}), BAD_ARCHIVE),
    "ffi_without_files": (
        build_archive(hello_manifest(meta={"import_mode": "ffi", "x07c_compat": "*"}), FILES),
        BAD_ARCHIVE,
    ),
    "manifest_not_json": (build_archive(None, FILES, manifest_text=b"{"), BAD_MANIFEST),
    "manifest_array": (build_archive(None, FILES, manifest_text=b"[]"), BAD_MANIFEST),
    "manifest_with_nul": (hello_archive(description="a\0b"), BAD_MANIFEST),
    "manifest_without_version": (
        build_archive({key: value for key, value in MANIFEST.items() if key != "version"}, FILES),
        BAD_MANIFEST,
    ),
    "no_modules": (build_archive(hello_manifest(modules=[]), {}), BAD_MANIFEST),
    "module_id_of_a_dot": (build_archive(hello_manifest(modules=["."]), FILES), BAD_MANIFEST),
    "module_id_of_dots_first": (build_archive(hello_manifest(modules=["..greeting"]), FILES), BAD_MANIFEST),
    "module_id_of_a_slash_first": (build_archive(hello_manifest(modules=["/greeting"]), FILES), BAD_MANIFEST),
    "unknown_world": (with_meta(worlds_allowed=["moon"]), BAD_MANIFEST),
    "schema": (hello_archive(schema_version="x07.package@9"), "X07REG_PKG_SCHEMA_VERSION"),
    "name": (hello_archive(name="Hello"), "X07REG_INVALID_NAME"),
    "new_name": (hello_archive(name="-hello"), "X07REG_INVALID_NAME"),
    "long_name": (hello_archive(name="h" * 129), "X07REG_INVALID_NAME"),
    "version": (hello_archive(version="1.0"), "X07REG_INVALID_VERSION"),
    "description": (hello_archive(description=" \n"), "X07REG_PKG_DESCRIPTION_REQUIRED"),
    "docs": (hello_archive(docs=None), "X07REG_PKG_DOCS_REQUIRED"),
    "license": (hello_archive(license=""), "X07REG_PKG_LICENSE_REQUIRED"),
    "no_compat": (hello_archive(meta={}), "X07REG_PKG_X07C_COMPAT_REQUIRED"),
    "compat": (hello_archive(meta={"x07c_compat": ">= 0.1.0"}), "X07REG_PKG_X07C_COMPAT_INVALID"),
    "module_kind": (with_module(kind="entry"), LINT),
    "module_id": (with_module(module_id="other"), LINT),
    "module_not_json": (build_archive(MANIFEST, {"modules/greeting.x07.json": b"{"}), LINT),
    "lint": (
        with_module(
            decls=[{"kind": "defn", "name": "greeting.f", "params": [], "result": "i32", "body": ["if", 1]}]
        ),
        LINT,
    ),
    "scale_classes": (with_meta(scale_classes_supported=7), SCALE),
    "scale_evidence": (
        with_meta(scale_test_evidence_ref="http://x07.io/e"),
        "X07REG_INVALID_SCALE_EVIDENCE",
    ),
}


async def test_a_refused_archive_leaves_nothing_and_blocks_nothing(fs_registry: Registry) -> None:
    """There is a code, no row and nothing in the published tree; then the right version can be published."""
    headers = await fs_registry.add_publisher()
    for case, (archive, code) in REFUSALS.items():
        answer = await fs_registry.publish(archive, headers)
        assert (answer.status_code, answer.json()["code"]) == (400, code), (case, answer.text)
        assert answer.json()["message"]
        assert await fs_registry.rows("SELECT 1 FROM packages") == [], case
        assert await fs_registry.rows("SELECT 1 FROM package_versions") == [], case
        assert await fs_registry.rows("SELECT 1 FROM audit_events") == [], case
        assert await fs_registry.keys("dl/") == [], case
        assert await fs_registry.keys("staging/") == [], case
    assert (await fs_registry.publish(hello_archive(), headers)).status_code == 200


async def test_a_conflict_leaves_the_published_bytes_alone(registry: Registry) -> None:
    """Other bytes for a published version give 409, and readers still get the first ones."""
    headers = await registry.add_publisher()
    archive = hello_archive()
    await registry.publish(archive, headers)
    assert (await registry.publish(hello_archive(docs="other"), headers)).status_code == 409
    assert (await registry.http.get("/v1/packages/hello/0.1.0/download")).content == archive
    assert len(await registry.rows("SELECT 1 FROM audit_events WHERE action = 'publish'")) == 1


REAL_MANIFESTS = Path(__file__).parents[1] / "data" / "manifests.ndjson"


@pytest.mark.long
@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_hundred_real_manifests_publish_and_read_back(registry: Registry) -> None:
    """Real packages, with missing required fields filled in and modules that match."""
    headers = await registry.add_publisher()
    lines = REAL_MANIFESTS.read_bytes().splitlines()[:100]
    versions: dict[str, list[str]] = {}
    for line in lines:
        manifest = fill_in(msgspec.json.decode(line))
        answer = await registry.publish(build_archive(manifest, listed_files(manifest)), headers)
        assert answer.status_code == 200, answer.text
        versions.setdefault(manifest["name"], []).append(manifest["version"])
        metadata = await registry.http.get(f"/v1/packages/{manifest['name']}/{manifest['version']}/metadata")
        assert metadata.json()["package"]["modules"] == manifest["modules"]
    for name, published in versions.items():
        detail = (await registry.http.get(f"/v1/packages/{name}")).json()
        assert sorted(row["version"] for row in detail["versions"]) == sorted(published)
        await registry.until_in_catalog(name, detail["latest_version"])


def fill_in(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest with the fields that publishing requires."""
    required = {"description": "A package.", "docs": "See the modules.", "license": "MIT"}
    meta = {"x07c_compat": ">=0.1.111 <0.3.0", **manifest.get("meta", {})}
    return {**required, **{key: value for key, value in manifest.items() if value}, "meta": meta}
