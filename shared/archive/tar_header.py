"""Parses header blocks of tar archives (POSIX ustar or GNU) in the form that all readers interpret alike.

A field is refused unless it is written as tar programs write it, because readers interpret other forms
differently.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import Final

from shared.archive.how_to_pack import HOW_TO_PACK

BLOCK_BYTES: Final = 512

FILE_FLAGS: Final = (b"0", b"\0")
DIRECTORY_FLAG: Final = b"5"
PAX_FLAG: Final = b"x"
LONG_NAME_FLAG: Final = b"L"  # GNU
EXTENDED_FLAGS: Final = (PAX_FLAG, LONG_NAME_FLAG)

_TAKEN_FLAGS: Final = (*FILE_FLAGS, DIRECTORY_FLAG, *EXTENDED_FLAGS)
_ONLY_FILES: Final = "only files and directories are allowed"
_REFUSED_FLAGS: Final = {
    b"1": f"the archive has a hard link; {_ONLY_FILES}",
    b"2": f"the archive has a symbolic link; {_ONLY_FILES}",
    b"3": f"the archive has a character device; {_ONLY_FILES}",
    b"4": f"the archive has a block device; {_ONLY_FILES}",
    b"6": f"the archive has a FIFO; {_ONLY_FILES}",
    b"K": f"the archive has a link with a long target; {_ONLY_FILES}",
    b"S": f"the archive has a sparse file; {_ONLY_FILES}",
    b"g": "a global pax header stops the x07 command line",
}

_USTAR: Final = b"ustar\00000"  # magic and version
_GNU: Final = b"ustar  \0"
_OCTAL: Final = re.compile(rb" *([0-7]+)[ \0]*")
_MAX_MODE: Final = 0o7777  # higher bits are the file's type, which Go uses
_MAX_ID: Final = 2**32 - 1
_CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")
_LINK_FLAGS: Final = (b"1", b"2", b"K")
_HOW_WITHOUT_LINKS: Final = "pack the files themselves, with `tar -h --hard-dereference` (bsdtar: `tar -L`)"
_HOW_WITHOUT_OWNER: Final = "pack with `tar --owner=0 --group=0` (bsdtar and macOS: `tar --uid 0 --gid 0`)"
_HOW_WITHOUT_TIME: Final = "`touch` the files, and pack again"


class Refused(Exception):
    """Readers may interpret a header or its contents differently. how: what the publisher can do instead."""

    def __init__(self, reason: str, how: str = "") -> None:
        self.how = how
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Header:
    """A parsed header. flag: one byte of _TAKEN_FLAGS. path: prefix and name. size: of its data, bytes."""

    flag: bytes
    path: bytes
    size: int

    @property
    def is_file(self) -> bool:
        """True for a file, false for a directory. Only for headers that are not extended."""
        return self.flag in FILE_FLAGS

    @property
    def is_extended(self) -> bool:
        """True if the header only describes the next entry."""
        return self.flag in EXTENDED_FLAGS

    @property
    def padded_size(self) -> int:
        """The size of the data in bytes, rounded up to whole blocks."""
        return -(-self.size // BLOCK_BYTES) * BLOCK_BYTES


def is_header(block: bytes) -> bool:
    """True if the block has the checksum of a header (POSIX, pax interchange format, ustar)."""
    return _parse_octal(block[148:156]) == sum(block) - sum(block[148:156]) + 8 * ord(" ")


def parse_header(block: bytes) -> Header:
    """The header in a block whose checksum is right. Raises Refused."""
    flag = block[156:157]
    if flag not in _TAKEN_FLAGS:
        reason = _REFUSED_FLAGS.get(flag, f"the archive has an entry of an unknown type; {_ONLY_FILES}")
        raise Refused(reason, _HOW_WITHOUT_LINKS if flag in _LINK_FLAGS else HOW_TO_PACK)
    _require_other_fields(block)
    size = _parse_octal(block[124:136])
    if size is None:
        raise Refused("the header has no valid size in octal digits")
    if flag == DIRECTORY_FLAG and size:
        raise Refused("a directory has data")
    path = _path(block)
    if flag in EXTENDED_FLAGS:
        _require_utf8(path)
    return Header(flag, path, size)


def _path(block: bytes) -> bytes:
    """Prefix and name. A GNU header has other fields in place of the prefix; they must be empty."""
    name = _text(block[:100], "name")
    if not name:
        raise Refused("the header has an empty name")
    prefix = b""
    if block[257:265] == _USTAR:
        prefix = _text(block[345:500], "prefix")
        _require_nul(block[500:], "bytes after its prefix")
    elif block[257:265] == _GNU:
        _require_nul(block[345:], "times or parts of a sparse file that only some readers know")
    else:
        raise Refused("the header is neither ustar nor GNU", HOW_TO_PACK)
    return prefix + b"/" + name if prefix else name


def _require_other_fields(block: bytes) -> None:
    """Check the remaining fields, because some readers stop at invalid ones."""
    mode = _parse_octal(block[100:108], blank=0)
    if mode is None or mode > _MAX_MODE:
        raise Refused("the header has a mode that is not an octal number up to 7777")
    for field in (block[108:116], block[116:124]):
        if _parse_octal(field, blank=0) is None and not _is_large_id(field):
            raise Refused("the header has an owner or a group that is not a number", _HOW_WITHOUT_OWNER)
    if _parse_octal(block[136:148], blank=0) is None:
        raise Refused("the header has a time that is not a number of seconds since 1970", _HOW_WITHOUT_TIME)
    if any(_parse_octal(field.strip(b" "), blank=0) is None for field in (block[329:337], block[337:345])):
        raise Refused("the header has a device that is not a number")
    _require_nul(block[157:257], "a link target")
    _text(block[265:297], "owner's name")
    _text(block[297:329], "group's name")


def _parse_octal(field: bytes, blank: int | None = None) -> int | None:
    """The number in octal digits, with blanks before and blanks or NULs after; None if it is invalid.

    blank: the value of a field of NULs, which GNU tar reads as an absent number.
    """
    if not field.strip(b"\0"):
        return blank
    octal = _OCTAL.fullmatch(field)
    return int(octal[1], 8) if octal else None


def _is_large_id(field: bytes) -> bool:
    """True for a user or group id in base 256 (GNU), which is too large for octal digits."""
    return field[0] == 0x80 and 0o7777777 < int.from_bytes(field[1:]) <= _MAX_ID


def _text(field: bytes, what: str) -> bytes:
    """The text in a field that is padded with NULs."""
    text = field.rstrip(b"\0")
    if _CONTROL.search(text):
        raise Refused(f"the header has a control character in its {what}")
    return text


def _require_utf8(name: bytes) -> None:
    """Raise Refused for a name of an extended header that is not UTF-8; it may be cut within a character.

    Other bytes could make the archive look like another kind of file. For example, Python takes an archive
    for LZMA (which has no magic bytes) if its first name is one byte and then 0xff twelve times.
    """
    try:
        codecs.getincrementaldecoder("utf-8")().decode(name)
    except UnicodeDecodeError:
        raise Refused("an extended header has a name that is not UTF-8", HOW_TO_PACK) from None


def _require_nul(field: bytes, what: str) -> None:
    if field.strip(b"\0"):
        raise Refused(f"the header has {what}", HOW_TO_PACK)
