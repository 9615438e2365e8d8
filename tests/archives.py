"""Builds package archives for tests, like those of the real client or with deliberate faults.

An archive is the concatenation of `entry(…)` blocks and END, written byte by byte: a header contains the
given values, true or not. The same arguments give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

BLOCK = 512
END = bytes(2 * BLOCK)


def hello_archive(name: str = "hello", version: str = "0.1.0", **manifest_overrides: Any) -> bytes:
    """A publishable archive with whatever its manifest lists in it.

    manifest_overrides: fields of the manifest that differ; `modules=["a.b"]` gives another module.
    """
    manifest = hello_manifest(name, version, **manifest_overrides)
    return build_archive(manifest, listed_files(manifest))


def hello_manifest(name: str = "hello", version: str = "0.1.0", **overrides: Any) -> dict[str, Any]:
    """The manifest of a small package that breaks no rule."""
    manifest = {
        "schema_version": "x07.package@0.1.0",
        "name": name,
        "version": version,
        "description": "Says hello.",
        "docs": "Call greeting.hello.",
        "license": "MIT",
        "module_root": "modules",
        "modules": ["greeting"],
        "meta": {"x07c_compat": ">=0.1.111 <0.3.0"},
    }
    return manifest | overrides


def hello_module(module_id: str = "greeting", **overrides: Any) -> dict[str, Any]:
    """An x07AST module with one exported function."""
    function = f"{module_id}.hello"
    module = {
        "schema_version": "x07.x07ast@0.3.0",
        "kind": "module",
        "module_id": module_id,
        "imports": [],
        "decls": [
            {"kind": "export", "names": [function]},
            {
                "kind": "defn",
                "name": function,
                "params": [],
                "result": "bytes",
                "body": ["bytes.lit", "hello"],
            },
        ],
    }
    return module | overrides


def listed_files(manifest: Mapping[str, Any]) -> dict[str, bytes]:
    """The files that this manifest requires in the archive: its modules, and one for `ffi`."""
    files = {
        f"{manifest['module_root']}/{module_id.replace('.', '/')}.x07.json": json_bytes(
            hello_module(module_id)
        )
        for module_id in manifest["modules"]
    }
    meta = manifest.get("meta")
    if isinstance(meta, dict) and meta.get("import_mode") == "ffi":
        files["ffi/shim.c"] = b"int shim(void) { return 0; }\n"
    return files


def build_archive(
    manifest: Mapping[str, Any] | None,
    files: Mapping[str, bytes],
    *,
    manifest_text: bytes | None = None,
    first: bytes = b"",
    last: bytes = b"",
    end: bytes = END,
) -> bytes:
    """The archive of a manifest (None: without one) and of files, sorted by path.

    manifest_text: bytes of x07-package.json instead of the manifest's JSON. first, last: entries as bytes,
    before and after the sorted ones. end: the bytes after the last entry.
    """
    contents = dict(files)
    if manifest is not None:
        contents["x07-package.json"] = json_bytes(manifest)
    if manifest_text is not None:
        contents["x07-package.json"] = manifest_text
    paths = sorted(contents, key=str.encode)
    return first + b"".join(entry(path, contents[path]) for path in paths) + last + end


def entry(
    path: str | bytes,
    data: bytes = b"",
    *,
    kind: bytes = b"0",
    size: int | bytes | None = None,
    link: bytes = b"",
) -> bytes:
    """One entry: header, data and padding. A GNU long name precedes a path that does not fit.

    kind: the type flag of the header. size: the size in the header, a number or the raw field, if it is not
    the length of the data. link: target of a link.
    """
    name = path.encode() if isinstance(path, str) else path
    long_name = entry("././@LongLink", name + b"\0", kind=b"L") if len(name) > 100 else b""
    claimed = len(data) if size is None else size
    return long_name + header(name[:100], claimed, kind=kind, link=link) + data + bytes(-len(data) % BLOCK)


def header(name: bytes, size: int | bytes, *, kind: bytes = b"0", link: bytes = b"") -> bytes:
    """A GNU header block: mode 0644, owner 0, time 0, valid checksum."""
    size_field = size if isinstance(size, bytes) else b"%011o\0" % size
    before = name.ljust(100, b"\0") + b"0000644\0" + 2 * b"0000000\0" + size_field + b"00000000000\0"
    after = kind + link.ljust(100, b"\0") + b"ustar  \0" + bytes(64) + 2 * b"0000000\0"
    checksum = sum(before) + sum(after) + 8 * ord(" ")
    return (before + b"%06o\0 " % checksum + after).ljust(BLOCK, b"\0")


def pax(records: Mapping[str, str | bytes], *, kind: bytes = b"x") -> bytes:
    """A pax extended header with these records, for the entry after it (kind g: for all)."""
    return entry("PaxHeaders/0", b"".join(map(pax_record, records, records.values())), kind=kind)


def pax_record(key: str, value: str | bytes) -> bytes:
    """One record of a pax header, with its length."""
    body = b" %s=%s\n" % (key.encode(), value.encode() if isinstance(value, str) else value)
    length = len(body)
    while length != len(b"%d" % length) + len(body):
        length = len(b"%d" % length) + len(body)
    return b"%d" % length + body


def json_bytes(value: Any) -> bytes:
    """Compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
