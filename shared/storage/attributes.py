"""Stores the attributes of a blob in one extended attribute of its file, set before the file gets its name.

The value is packed so that it fits into the inode (ext4 has room for some 90 bytes there). A blob of a few
hundred bytes then needs one block of the disk instead of two. Files of older releases have one attribute per
field and can still be read.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import Final

from shared.storage.digests import parse_digest

ATTRIBUTE: Final = "user.x07"
FORMAT: Final = 1
DIGEST_BYTES: Final = 32
# Attributes of older releases.
DIGEST_ATTRIBUTE: Final = "user.x07.digest"
IDENTITY_ATTRIBUTE: Final = "user.x07.identity"
SIZE_ATTRIBUTE: Final = "user.x07.size"


@dataclass(frozen=True, slots=True)
class Attributes:
    """The values that are stored with a file's body.

    digest: SHA-256 of the body, 64 hex digits; None if unknown. identity_digest: of the identity body that a
    compressed variant was made from. generation: of the rows that the body was made from; 0 if unknown.
    """

    digest: str | None
    identity_digest: str | None = None
    generation: int = 0


NOTHING: Final = Attributes(None)


@dataclass(frozen=True, slots=True)
class Sealed:
    """Attributes as they are stored. size_bytes: of the body when the file was finished; None if unknown."""

    attributes: Attributes
    size_bytes: int | None


def write_attributes(descriptor: int, attributes: Attributes) -> None:
    """Attach attributes and size to a file. Does nothing on a file system without extended attributes."""
    if attributes.digest is None:
        return
    try:
        os.setxattr(descriptor, ATTRIBUTE, pack(attributes, os.fstat(descriptor).st_size))
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise


def read_attributes(descriptor: int) -> Sealed:
    """The attributes of a file. Without a readable attribute, every field is unknown."""
    if (value := _value(descriptor, ATTRIBUTE)) is not None:
        return unpack(value) or Sealed(NOTHING, None)
    return _of_older_release(descriptor)


def pack(attributes: Attributes, size_bytes: int) -> bytes:
    """The attribute's value: format, size and generation (LEB128), then the digests as raw bytes."""
    digests = [bytes.fromhex(each) for each in (attributes.digest, attributes.identity_digest) if each]
    return bytes([FORMAT]) + _leb128(size_bytes) + _leb128(attributes.generation) + b"".join(digests)


def unpack(value: bytes) -> Sealed | None:
    """The attributes in a value; None if the value has another format."""
    if value[:1] != bytes([FORMAT]):
        return None
    size_bytes, rest = _parse_leb128(value[1:])
    generation, rest = _parse_leb128(rest)
    digests = [rest[start : start + DIGEST_BYTES].hex() for start in range(0, len(rest), DIGEST_BYTES)]
    if len(rest) not in (DIGEST_BYTES, 2 * DIGEST_BYTES):
        return None
    return Sealed(Attributes(digests[0], digests[1] if digests[1:] else None, generation), size_bytes)


def _leb128(number: int) -> bytes:
    """A number of 0 or more as unsigned LEB128: groups of seven bits, the lowest first (DWARF 5, 7.6)."""
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def _parse_leb128(value: bytes) -> tuple[int, bytes]:
    """The number at the start of a value, and the rest of the value."""
    number = 0
    for place, group in enumerate(value):
        number |= (group & 0x7F) << 7 * place
        if group < 0x80:
            return number, value[place + 1 :]
    return number, b""


def _of_older_release(descriptor: int) -> Sealed:
    digest, identity, size = (
        _text(descriptor, name) for name in (DIGEST_ATTRIBUTE, IDENTITY_ATTRIBUTE, SIZE_ATTRIBUTE)
    )
    attributes = Attributes(parse_digest(digest), parse_digest(identity))
    return Sealed(attributes, int(size) if size is not None and size.isdecimal() else None)


def _text(descriptor: int, name: str) -> str | None:
    value = _value(descriptor, name)
    return None if value is None else value.decode("ascii", "replace")


def _value(descriptor: int, name: str) -> bytes | None:
    try:
        return os.getxattr(descriptor, name)
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP):
            return None
        raise
