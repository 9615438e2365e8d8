"""Random archives close to those of tar programs, each with few unusual fields."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final, TypeVar

from tests.archives import BLOCK, END, entry, header, pax_record

T = TypeVar("T")

ODD_RATES: Final = (0.0, 0.003, 0.01, 0.03, 0.1)

NAMES: Final = (b"a", b"a/b", b"a/b/c", b"d", b"x07-package.json", b"modules/greeting.x07.json", b"ffi/x.c")
ODD_NAMES: Final = (
    *(b"", b"/", b".", b"..", b"./a", b"a/", b"a//", b"a/./b", b"a//b", b"/a", b"a/../b", b"a\\b", b"a:b"),
    *(b"a ", b" a", b"a.", b"con", b"A~1", b"._a", b"A", b"a\nb", b"a\tb", b"a\0b", b"a\0\0", b"\xff"),
    *(b"\xc3\xa9", b"e\xcc\x81", b"a" * 100, b"b" * 101, b"c/" * 60, b"d/" * 40 + b"e", b"f" * 255),
    *(b"\xd0\xb6" * 70, b"ab\xd0" * 40, b"g" * 256, b"h/" * 200 + b"i", b"]", b"-x", b"@a", b"*", b"?"),
    *(
        b"BZh91AY&SYab",
        b"\x5e" + b"\xff" * 12,
        b"\x1f\x8b\x08",
        b"\xfd7zXZ",
        b"#mtree",
        b"070707",
        b"MSCF",
        b"PK\x03\x04",
    ),
    *(b"././@LongLink", b"././@PaxHeader", b"pax_global_header", b"PaxHeader/a", b"GNUSparseFile.0/a"),
)
KINDS: Final = (b"0", b"0", b"0", b"0", b"5", b"\0")
ODD_KINDS: Final = tuple(bytes([kind]) for kind in b"123467ADEIKLMNSVXZgx \xff")
MAGICS: Final = (b"ustar  \0", b"ustar\00000")
ODD_MAGICS: Final = (
    *(bytes(8), b"ustar\0\0\0", b"ustar  0", b"ustar\0  ", b"ustar 00", b"USTAR\00000", b"ustar\00001"),
)
USTAR, PREFIX = b"ustar\00000", 345
# Position, length and usual value of a header's numbers: mode, owner, group, size (of the data), time,
# device.
NUMBERS: Final = (
    *((100, 8, 0o644), (108, 8, 1000), (116, 8, 1000), (124, 12, None), (136, 12, 1_700_000_000)),
    *((329, 8, 0), (337, 8, 0)),
)
# Link target, magic, owner's and group's names, prefix; of GNU's: sparse parts, their number, the real size.
PLACES: Final = (0, 99, 157, 257, 265, 297, 345, 386, 482, 483, 499, 500, 508)
KEYS: Final = ("path", "size", "mtime", "atime", "ctime", "uid", "gid", "uname", "gname")
ODD_KEYS: Final = (
    *("comment", "linkpath", "hdrcharset", "charset", " path", "path ", "Path", "", "x\npath", "path\0"),
    *("GNU.sparse.name", "GNU.sparse.realsize", "GNU.sparse.size", "GNU.sparse.major", "GNU.sparse.map"),
    *("SCHILY.realsize", "SCHILY.filetype", "SCHILY.xattr.user.a", "SUN.holesdata", "RHT.security.selinux"),
    *("LIBARCHIVE.creationtime", "LIBARCHIVE.xattr.user.a", "LIBARCHIVE.symlinktype", "GNU.volume.label"),
)
ODD_VALUES: Final = (
    *(b"", b"0", b"1", b"-1", b"+1", b" 1", b"1 ", b"01", b"1.5", b"1e3", b"0x1", b"9" * 10, b"nan", b"\0"),
    *(b"a\0", b"a\nb", b"\n", b"a\n10 path=b", b"a\n\n", b"BINARY", b"UTF-8", b"\xff", b"\xd9\xa1", b"./a"),
    *(b"9" * 20, b"a" * 300, b"a/", b"directory", b"0,1", b"a\\b", b"a\x1b[2J"),
)


def generate(random_: random.Random) -> bytes:
    """An archive of a few members; many are like those of programs, some are unusual in many places."""
    return _Maker(random_, random_.choice(ODD_RATES)).archive()


class _Maker:
    """Makes parts of an archive. odd_rate: share of possible oddities that are used, 0 to 1."""

    def __init__(self, random_: random.Random, odd_rate: float) -> None:
        self._random = random_
        self._odd_rate = odd_rate

    def archive(self) -> bytes:
        end = self._pick((END,), (b"", END[:BLOCK], END + b"\0", END * 2))
        return b"".join(self._member() for _ in range(self._random.randint(1, 4))) + end

    def _member(self) -> bytes:
        kind, name = self._pick(KINDS, ODD_KINDS), self._name()
        data = b"" if kind == b"5" and not self._is_odd() else self._data()
        before = b""
        if self._random.random() < 0.6:
            before, name = self._extended(name, len(data))
        return before + self._header(name, len(data), kind) + _padded(data)

    def _extended(self, name: bytes, size: int) -> tuple[bytes, bytes]:
        """A pax header or a long name for this name, and the remaining name for the header."""
        if self._random.random() < 0.3:
            end = self._pick((b"\0",), (b"", b"\0\0", b"/\0", b"\n\0"))
            kind, label, data = b"L", b"././@LongLink", name + end
        else:
            kind, label, data = b"x", self._pick((b"PaxHeaders/a",), ODD_NAMES), self._records(name, size)
        before = self._header(label, len(data), kind) + _padded(data)
        return before, name if self._random.random() < 0.8 else self._name()

    def _records(self, name: bytes, size: int) -> bytes:
        usual = {"path": name, "size": b"%d" % size, "mtime": b"1700000000.5", "uname": b"me"}
        keys = self._random.sample(KEYS, self._random.randint(1, 4))
        records = b""
        for key in (self._pick((key,), ODD_KEYS) for key in keys):
            records += pax_record(key, self._pick((usual.get(key, b"7"),), ODD_VALUES))
        return records + self._pick((b"",), (b"\0", b"\n", b"junk", records))

    def _header(self, name: bytes, size: int, kind: bytes) -> bytes:
        """A header whose checksum is right."""
        block = bytearray(header(name[:100], size, kind=kind))
        block[257:265] = self._pick(MAGICS, ODD_MAGICS)
        for start, length, usual in NUMBERS:
            block[start : start + length] = self._number(size if usual is None else usual, length)
        if block[257:265] == USTAR and self._random.random() < 0.2:
            _put(block, PREFIX, self._name()[:155])
        if self._is_odd():
            _put(block, self._random.choice(PLACES), self._random.choice(ODD_VALUES)[:12])
        block[148:156] = b" " * 8
        block[148:156] = self._random.choice((b"%06o\0 ", b"%07o\0", b"%06o  ", b"%6o\0 ")) % sum(block)
        return bytes(block)

    def _number(self, value: int, length: int) -> bytes:
        """A number as programs write it, or in another form."""
        if not self._is_odd():
            style = self._random.choice((b"%0*o\0", b"%0*o\0", b"%0*o ", b"%*o\0"))
            return style % (length - 1, value)
        digits = b"%o" % value
        texts = (b"", b" " * length, digits.rjust(length, b"0"), digits, b"+" + digits, b"-" + digits)
        more = (
            b"0o" + digits,
            digits + b"\0x",
            b"\0" + digits,
            b"\t" + digits,
            digits + b" 1",
            b"8" + digits,
        )
        binary = (bytes([first]) + value.to_bytes(length - 1) for first in (0x80, 0x81, 0xC0, 0xFE, 0xFF))
        large = (b"\x80" + (1 << bits).to_bytes(length - 1) for bits in (21, 31, 32, 40))
        return self._random.choice((*texts, *more, *binary, *large))[:length].ljust(length, b"\0")

    def _name(self) -> bytes:
        name = self._pick(NAMES, ODD_NAMES)
        return name if self._random.random() < 0.5 else name + b"%d" % self._random.randrange(100)

    def _data(self) -> bytes:
        """Bytes, or an archive within the archive."""
        if self._random.random() < 0.2:
            return entry("inner", b"x") + END
        return self._random.randbytes(self._random.choice((0, 1, 511, 512, 513)))

    def _pick(self, usual: Sequence[T], odd: Sequence[T]) -> T:
        return self._random.choice(odd if self._is_odd() else usual)

    def _is_odd(self) -> bool:
        return self._random.random() < self._odd_rate


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def _put(block: bytearray, start: int, value: bytes) -> None:
    block[start : start + len(value)] = value
