"""A table of attacks by archive, over HTTP: each is refused with its code, and nothing is left of any.

The rules one by one are tested beside their code: test_tar.py, test_archive_paths.py, test_archive.py,
test_strict_json.py, test_x07ast.py; the fuzzer is in tests/fuzz.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

from tests.archives import (
    END,
    build_archive,
    entry,
    header,
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
MODULE = "modules/greeting.x07.json"
ARCHIVE, MANIFEST_CODE, LINT = "X07REG_BAD_ARCHIVE", "X07REG_BAD_MANIFEST", "X07REG_PUBLISH_LINT_FAILED"


def plus(*extra: bytes) -> bytes:
    """A good archive with more entries at its end."""
    return build_archive(MANIFEST, FILES, last=b"".join(extra))


def manifest_with(text: bytes) -> bytes:
    """An archive whose manifest begins with these members."""
    return build_archive(None, FILES, manifest_text=b"{" + text + b"," + json_bytes(MANIFEST)[1:])


def module(text: bytes) -> bytes:
    """An archive with these bytes for a module."""
    return build_archive(MANIFEST, {MODULE: text})


def solving(expression: Any) -> bytes:
    """An archive whose module has this expression."""
    return module(json_bytes(hello_module(solve=expression)))


DEEP = b"[" * 100_000 + b"]" * 100_000
ATTACKS = {
    # paths
    "parent": (plus(entry("../x")), ARCHIVE),
    "parent in the middle": (plus(entry("a/../../x")), ARCHIVE),
    "absolute": (plus(entry("/etc/cron.d/x")), ARCHIVE),
    "absolute directory": (plus(entry("/etc/x/", kind=b"5")), ARCHIVE),
    "leading dot": (plus(entry("./x")), ARCHIVE),
    "empty": (plus(entry("")), ARCHIVE),
    "windows parent": (plus(entry("..\\x")), ARCHIVE),
    "windows drive": (plus(entry("C:/x")), ARCHIVE),
    "NUL behind a good name": (plus(pax({"path": b"a\0/../x"}), entry("a")), ARCHIVE),
    "invalid UTF-8": (plus(entry(b"a\xc0\xaf")), ARCHIVE),
    "terminal escape": (plus(entry("a\x1b]0;x\x07")), ARCHIVE),
    "right-to-left override": (plus(entry("a\u202etxt.x07.json")), ARCHIVE),
    "case of a module": (plus(entry("Modules/Greeting.x07.json")), ARCHIVE),
    "normalization": (plus(entry("\u00e5"), entry("a\u030a")), ARCHIVE),
    "parent by pax": (plus(pax({"path": "../x"}), entry("a")), ARCHIVE),
    "parent by a long name": (plus(entry("a/" * 60 + "../" * 70 + "x")), ARCHIVE),
    "parent by a ustar prefix": (plus(header(b"x", 0)[:345] + b".." + header(b"x", 0)[347:]), ARCHIVE),
    "huge path": (plus(entry("a" * 60_000)), ARCHIVE),
    # members
    "symbolic link": (plus(entry("modules", kind=b"2", link=b"/etc")), ARCHIVE),
    "link, then a file through it": (
        plus(entry("d", kind=b"2", link=b"/etc"), entry("d/passwd", b"x")),
        ARCHIVE,
    ),
    "hard link": (plus(entry("a", kind=b"1", link=b"../../secret")), ARCHIVE),
    "character device": (plus(entry("a", kind=b"3")), ARCHIVE),
    "block device": (plus(entry("a", kind=b"4")), ARCHIVE),
    "pipe": (plus(entry("a", kind=b"6")), ARCHIVE),
    "unknown type": (plus(entry("a", kind=b"Z")), ARCHIVE),
    "GNU sparse": (plus(entry("a", kind=b"S")), ARCHIVE),
    "pax sparse": (plus(pax({"GNU.sparse.realsize": "999999999999"}), entry("a")), ARCHIVE),
    "second manifest": (plus(entry("x07-package.json", b"{}")), ARCHIVE),
    "second module": (plus(entry(MODULE, b"{}")), ARCHIVE),
    "directory in a file's place": (plus(entry(f"{MODULE}/", kind=b"5")), ARCHIVE),
    "file below a file": (plus(entry(f"{MODULE}/x")), ARCHIVE),
    "very many": (header(b"a", 0) * 20_001 + END, ARCHIVE),
    "hidden behind the end": (build_archive(MANIFEST, FILES) + entry("a") + END, ARCHIVE),
    # sizes
    "size of terabytes": (plus(entry("a", b"x", size=1 << 40)), ARCHIVE),
    "size below zero": (plus(entry("a", b"x", size=b"\xff" * 12)), ARCHIVE),
    "size in text": (plus(entry("a", b"x", size=b"0x10\0\0\0\0\0\0\0\0")), ARCHIVE),
    "another size by pax": (plus(pax({"size": "0"}), entry("a", b"x")), ARCHIVE),
    "pax header of megabytes": (plus(pax({"comment": "x" * (1 << 20)}), entry("a")), ARCHIVE),
    "global pax path": (plus(pax({"path": "x07-package.json"}, kind=b"g")), ARCHIVE),
    "manifest of megabytes": (build_archive(None, FILES, manifest_text=b" " * (2 << 20)), ARCHIVE),
    "module of megabytes": (module(b" " * (5 << 20)), ARCHIVE),
    # JSON
    "deep manifest": (manifest_with(b'"x":' + DEEP), MANIFEST_CODE),
    "deep module": (module(DEEP), LINT),
    "deep expression": (solving(reduce(lambda inner, _: ["begin", inner], range(200), 1)), LINT),
    "huge number in the manifest": (manifest_with(b'"x":' + b"9" * 400), MANIFEST_CODE),
    "huge exponent in the manifest": (manifest_with(b'"x":1e999999999'), MANIFEST_CODE),
    "huge number in a module": (solving(1 << 80), LINT),
    "not a number": (manifest_with(b'"x":NaN'), MANIFEST_CODE),
    "manifest not in UTF-8": (manifest_with(b'"x":"\xff"'), MANIFEST_CODE),
    "manifest in UTF-16": (
        build_archive(None, FILES, manifest_text=str(MANIFEST).encode("utf-16")),
        MANIFEST_CODE,
    ),
    "lone surrogate": (manifest_with(b'"x":"\\ud800"'), MANIFEST_CODE),
    "NUL for the database": (manifest_with(b'"x":"\\u0000"'), MANIFEST_CODE),
    "name twice": (manifest_with(b'"name":"trusted"'), MANIFEST_CODE),
    "modules twice": (manifest_with(b'"modules":["other"]'), MANIFEST_CODE),
    "an array for a manifest": (build_archive(None, FILES, manifest_text=b"[]"), MANIFEST_CODE),
    "module not in UTF-8": (module(b'{"a":"\xff"}'), LINT),
}


async def test_every_attack_by_archive_is_refused_and_leaves_nothing(fs_registry: Registry) -> None:
    """Its code and a message, no row, no object; then the very version publishes, and readers see it."""
    headers = await fs_registry.add_publisher()
    for attack, (archive, code) in ATTACKS.items():
        answer = await fs_registry.publish(archive, headers)
        assert (answer.status_code, answer.json()["code"]) == (400, code), (attack, answer.text)
        assert len(answer.json()["message"]) < 1500, attack
    for table in ("packages", "package_versions", "audit_events"):
        assert await fs_registry.rows(f"SELECT 1 FROM {table}") == []  # noqa: S608 - the names above
    assert await fs_registry.keys("dl/") == []
    assert await fs_registry.keys("staging/") == []
    assert (await fs_registry.publish(hello_archive(), headers)).status_code == 200
    assert (await fs_registry.http.get("/index/he/ll/hello")).status_code == 200


async def test_a_key_repeated_where_it_may_be_means_the_last(fs_registry: Registry) -> None:
    """As every client reads it: what is checked is what is installed."""
    headers = await fs_registry.add_publisher()
    good = json_bytes(hello_module())
    last_is_bad = good[:-1] + b',"decls":7}'
    first_is_bad = b'{"decls":7,' + good[1:]
    assert (await fs_registry.publish(module(last_is_bad), headers)).json()["code"] == LINT
    assert (await fs_registry.publish(module(first_is_bad), headers)).status_code == 200
