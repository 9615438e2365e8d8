"""Checks an uploaded archive: checks 4 to 21 of the contract's section 4.1, and scale metadata (4.8).

The headers of the archive are read once. Of the data, only the manifest and the listed modules are read, one
at a time. The rules of the manifest alone are in shared/manifest.py, those of the tar format in
shared/archive/, those of paths in paths.py, and those of modules in x07ast/ and lint_report.py.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from api.write.archive.lint_report import LintReport
from api.write.archive.paths import files_by_path
from api.write.archive.x07ast import Module, X07AstInvalid, parse_module
from shared.archive.how_to_pack import AT_THE_ROOT
from shared.archive.tar import Entry, Tar
from shared.manifest import (
    FILE_NAME,
    Manifest,
    check_has_modules,
    check_module_root,
    check_publishable,
    module_path,
    parse_manifest,
)
from shared.names import PackageName
from shared.publish_errors import BadArchive, PublishLintFailed
from shared.relative_path import parse_relative_path
from shared.scale import Scale, parse_scale
from shared.text import rust_quote
from shared.versions import VersionText

MAX_MANIFEST_BYTES: Final = 1 << 20
# Decoding and linting a hostile module takes memory of up to 45 times its size and one second per MiB.
# Modules are checked one at a time.
MAX_MODULE_BYTES: Final = 4 << 20
MAX_MODULES_BYTES: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class CheckedArchive:
    """An archive that may be published. worlds: sorted, unique, at least one."""

    name: PackageName
    version: VersionText
    worlds: tuple[str, ...]
    manifest: Manifest
    scale: Scale


def check_archive(
    path: Path, *, allowed_hosts: Collection[str], allowed_buckets: Collection[str]
) -> CheckedArchive:
    """Check an uploaded archive and return what it would publish.

    Raises the error of the first failing check. Blocking: run it in a separate process (check_pool.py).

    path: the upload on disk. allowed_hosts, allowed_buckets: of scale evidence, as for
    shared.scale.parse_evidence_ref.
    """
    with path.open("rb") as file:
        tar = Tar(file)
        manifest, entries = _read_manifest(tar)
        files = files_by_path(entries)
        modules = _find_modules(manifest, files)
        _check_ffi(manifest, files)
        release = check_publishable(manifest)
        _check_modules(tar, modules, release.worlds)
    scale = parse_scale(manifest.meta, allowed_hosts, allowed_buckets)
    return CheckedArchive(release.name, release.version, release.worlds, manifest, scale)


def extract_modules(path: Path, directory: Path) -> dict[str, Path]:
    """Write the listed modules of a checked archive to a directory. Returns the files by module id.

    Blocking: run it in a thread.
    """
    with path.open("rb") as file:
        tar = Tar(file)
        manifest, entries = _read_manifest(tar)
        modules: dict[str, Path] = {}
        for module_id, entry in _find_modules(manifest, files_by_path(entries)).items():
            modules[module_id] = directory / module_path(manifest.module_root, module_id)
            modules[module_id].parent.mkdir(parents=True, exist_ok=True)
            modules[module_id].write_bytes(tar.read(entry, MAX_MODULE_BYTES))
    return modules


def _read_manifest(tar: Tar) -> tuple[Manifest, list[Entry]]:
    """Checks 4 to 6. Returns the manifest (first entry with its path, of any entry type) and all entries."""
    manifest: Manifest | None = None
    entries: list[Entry] = []
    for entry in tar.entries():
        entries.append(entry)
        if manifest is None and _is_manifest(entry):
            manifest = parse_manifest(tar.read(entry, MAX_MANIFEST_BYTES))
            check_module_root(manifest)
    if manifest is None:
        raise _missing_manifest(entries)
    return manifest, entries


def _missing_manifest(entries: Sequence[Entry]) -> BadArchive:
    """The error for a missing manifest, with the path of a misplaced manifest if there is one."""
    for entry in entries:
        if entry.path.rpartition("/")[2].lower() == FILE_NAME:
            return BadArchive(f"missing {FILE_NAME}: found {rust_quote(entry.path)}; {AT_THE_ROOT}")
    return BadArchive(f"missing {FILE_NAME}")


def _is_manifest(entry: Entry) -> bool:
    try:
        return parse_relative_path(entry.path) == FILE_NAME
    except ValueError:
        return False


def _find_modules(manifest: Manifest, files: Mapping[str, Entry]) -> dict[str, Entry]:
    """Checks 8 to 10: find the files of the listed modules, by id in the order of the manifest."""
    check_has_modules(manifest)
    modules: dict[str, Entry] = {}
    for module_id in manifest.modules:
        path = module_path(manifest.module_root, module_id)
        if path not in files:
            raise BadArchive(f"package archive missing module file for {rust_quote(module_id)}: {path}")
        modules[module_id] = files[path]
    return modules


def _check_ffi(manifest: Manifest, files: Mapping[str, Entry]) -> None:
    """Check 11: a package with import_mode ffi must contain a file under ffi/."""
    if manifest.imports_ffi and not any(path.startswith("ffi/") for path in files):
        raise BadArchive('meta.import_mode is "ffi", but the archive has no file under ffi/')


def _check_modules(tar: Tar, modules: Mapping[str, Entry], worlds: Sequence[str]) -> None:
    """Check 21: every module is well-formed x07AST and has no lint error."""
    if sum(entry.size for entry in modules.values()) > MAX_MODULES_BYTES:
        raise BadArchive(f"the modules have more than {MAX_MODULES_BYTES} bytes together")
    report = LintReport(worlds)
    for module_id, entry in modules.items():
        report.add(_read_module(tar, module_id, entry))
    report.require_clean()


def _read_module(tar: Tar, module_id: str, entry: Entry) -> Module:
    quoted = rust_quote(module_id)
    try:
        module = parse_module(tar.read(entry, MAX_MODULE_BYTES))
    except X07AstInvalid as error:
        raise PublishLintFailed(f"module {quoted} failed to parse as x07AST: {error}") from None
    if module.kind != "module":
        raise PublishLintFailed(f'module {quoted} must have kind="module"')
    if module.module_id != module_id:
        raise PublishLintFailed(f"module {quoted} has a mismatched module_id {rust_quote(module.module_id)}")
    return module
