"""A table of attacks by archive, over HTTP: each is refused with its code, and leaves nothing.

The individual rules are tested beside their code: test_tar.py, test_paths.py, test_check.py,
test_strict_json.py, test_x07ast.py; the fuzzer is in tests/fuzz.
"""

from __future__ import annotations

import gzip
from functools import reduce
from typing import Any

from tests.archives import (
    BLOCK,
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
    pax_record,
)
from tests.stack import Registry

MANIFEST = hello_manifest()
FILES = listed_files(MANIFEST)
MODULE = "modules/greeting.x07.json"
ARCHIVE, MANIFEST_CODE, LINT = "X07REG_BAD_ARCHIVE", "X07REG_BAD_MANIFEST", "X07REG_PUBLISH_LINT_FAILED"


def plus(*extra: bytes) -> bytes:
    """A valid archive with more entries at its end."""
    return build_archive(MANIFEST, FILES, last=b"".join(extra))


def manifest_with(text: bytes) -> bytes:
    """An archive whose manifest begins with these members."""
    return build_archive(None, FILES, manifest_text=b"{" + text + b"," + json_bytes(MANIFEST)[1:])


def module(text: bytes) -> bytes:
    """An archive with these bytes as a module."""
    return build_archive(MANIFEST, {MODULE: text})


def solving(expression: Any) -> bytes:
    """An archive whose module has this expression."""
    return module(json_bytes(hello_module(solve=expression)))


def misleading(records: bytes) -> bytes:
    """An archive whose last file has these pax records."""
    return plus(entry("PaxHeaders/0", records, kind=b"x"), entry("ffi/x.c", b"{}"))


def with_owner(field: bytes) -> bytes:
    """An entry with these bytes as its owner."""
    block = entry("a")
    block = block[:108] + field + block[116:148] + b" " * 8 + block[156:]
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


INNER = (entry(MODULE, b"{}") + END).ljust(4 * BLOCK, b"\0")
DEEP = b"[" * 100_000 + b"]" * 100_000
ATTACKS = {
    # paths
    "parent": (plus(entry("../x")), ARCHIVE),
    "parent in the middle": (plus(entry("a/../../x")), ARCHIVE),
    "absolute": (plus(entry("/etc/cron.d/x")), ARCHIVE),
    "absolute directory": (plus(entry("/etc/x/", kind=b"5")), ARCHIVE),
    "leading dot": (plus(entry("./x")), ARCHIVE),
    "root directory": (plus(entry("./", kind=b"5")), ARCHIVE),
    "empty": (plus(entry("")), ARCHIVE),
    "windows parent": (plus(entry("..\\x")), ARCHIVE),
    "windows drive": (plus(entry("C:/x")), ARCHIVE),
    "windows stream": (plus(entry("x07-package.json::$DATA", b"{}")), ARCHIVE),
    "windows stream of a file": (plus(entry("ffi/x:y.c")), ARCHIVE),
    "windows short name": (plus(entry("X07-PA~1.JSO", b"{}")), ARCHIVE),
    "windows device": (plus(entry("ffi/con.c")), ARCHIVE),
    "windows dot at the end": (plus(entry("ffi/x.c.")), ARCHIVE),
    "macOS attributes of the next file": (
        build_archive(MANIFEST, FILES, first=entry("._x07-package.json")),
        ARCHIVE,
    ),
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
    # data that one reader interprets as something else
    "pax record in a comment": (
        misleading(pax_record("comment", b"x\n" + pax_record("path", MODULE)[:-1])),
        ARCHIVE,
    ),
    "pax record in a key": (misleading(pax_record(f"x\n{len(MODULE) + 9} path", MODULE)), ARCHIVE),
    "pax path behind a blank line": (
        plus(pax({"comment": "a\n\nb", "path": "ffi/x.c"}), entry("x07-package.json", b"{}")),
        ARCHIVE,
    ),
    "tar in an old file with a slash": (plus(entry("ffi/blob/", INNER, kind=b"\0")), ARCHIVE),
    "tar in an old file with a slash behind pax": (
        plus(pax({"path": "ffi/blob"}), entry("ffi/blob/", INNER, kind=b"\0")),
        ARCHIVE,
    ),
    "file that is a folder's dot": (plus(entry("ffi/x.c/.", b"{}")), ARCHIVE),
    "joiner in a second manifest": (plus(entry("x07-package\u200d.json", b"{}")), ARCHIVE),
    "pax key behind a blank": (plus(pax({" path": MODULE}), entry("ffi/x.c", b"{}")), ARCHIVE),
    "holes of Solaris": (plus(pax({"SUN.holesdata": " 0 1"}), entry("ffi/x.c", b"{}")), ARCHIVE),
    "size of star": (plus(pax({"SCHILY.realsize": "1"}), entry("ffi/x.c", b"{}")), ARCHIVE),
    "magic bytes of gzip": (
        build_archive(MANIFEST, FILES, first=entry(b"\x1f\x8b\x08", b"9 path=b\n", kind=b"x") + entry("a")),
        ARCHIVE,
    ),
    "owner in base 256 from 0x81": (plus(with_owner(b"\x81\0\0\0\x10\0\0\1")), ARCHIVE),
    "owner in base 256 up to 0xfe": (plus(with_owner(b"\xfe\0\0\0\x10\0\0\1")), ARCHIVE),
    "long name with two NULs": (plus(entry("././@LongLink", b"b\0\0", kind=b"L"), entry("a")), ARCHIVE),
    "global pax header": (plus(pax({"comment": "a commit"}, kind=b"g")), ARCHIVE),
    "empty pax path": (plus(pax({"path": ""}), entry("a/", kind=b"5")), ARCHIVE),
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
    """There is a code, a message, no row and no object; afterwards the version can be published."""
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


async def test_a_refusal_names_what_was_sent_and_what_to_send(fs_registry: Registry) -> None:
    """The message tells a publisher how to pack."""
    headers = await fs_registry.add_publisher()
    dotted = {f"./{path}": data for path, data in {**FILES, "x07-package.json": json_bytes(MANIFEST)}.items()}
    marked = build_archive(None, FILES, manifest_text=b"\xef\xbb\xbf" + json_bytes(MANIFEST))
    for body, words in (
        (b"", "the body is empty"),
        (gzip.compress(hello_archive()), "this is gzip"),
        (b"PK\x03\x04" + bytes(600), "this is zip"),
        (b"\xef\xbb\xbf" + hello_archive(), "a byte order mark"),
        (marked, "byte order mark"),
        (build_archive(None, dotted), 'found "./x07-package.json"; pack with `tar'),
        (build_archive(None, dotted), "-C DIR x07-package.json modules"),
        (plus(pax({"LIBARCHIVE.creationtime": "1"}), entry("a")), '"LIBARCHIVE.creationtime"'),
        (plus(pax({"LIBARCHIVE.creationtime": "1"}), entry("a")), "COPYFILE_DISABLE=1 tar --format=gnutar"),
        (plus(pax({"comment": "a commit"}, kind=b"g")), "git archive HEAD^{tree}"),
    ):
        answer = await fs_registry.publish(body, headers)
        assert answer.status_code == 400
        assert words in answer.json()["message"], answer.text


async def test_a_key_repeated_where_it_may_be_means_the_last(fs_registry: Registry) -> None:
    """Every client reads it like this, so the checked value is the installed one."""
    headers = await fs_registry.add_publisher()
    good = json_bytes(hello_module())
    last_is_bad = good[:-1] + b',"decls":7}'
    first_is_bad = b'{"decls":7,' + good[1:]
    assert (await fs_registry.publish(module(last_is_bad), headers)).json()["code"] == LINT
    assert (await fs_registry.publish(module(first_is_bad), headers)).status_code == 200
