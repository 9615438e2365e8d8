"""POSIX access control lists: just enough to let one user pass through a directory."""

from __future__ import annotations

import errno
import os
import stat
import struct
from pathlib import Path

ATTRIBUTE = "system.posix_acl_access"
HEADER = struct.pack("<I", 2)
ENTRY = struct.Struct("<HHI")
NO_ID = 0xFFFFFFFF
SEARCH = 1

# Tags of entries, in the order that the kernel requires (linux/posix_acl.h).
OWNER, USER, OWNING_GROUP, GROUP, MASK, OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20

Acl = dict[tuple[int, int], int]
"""Permissions (bits r=4 w=2 x=1) by tag and id."""


def allow_search(directory: Path, user_id: int) -> None:
    """Let this user, and nobody else, pass through the directory without listing it.

    Raises OSError (ENOTSUP) on a file system without access control lists.
    """
    acl = _read(directory)
    acl[USER, user_id] = acl.get((USER, user_id), 0) | SEARCH
    acl[MASK, NO_ID] = acl.get((MASK, NO_ID), acl[OWNING_GROUP, NO_ID]) | SEARCH
    os.setxattr(directory, ATTRIBUTE, render_acl(acl))


def _read(directory: Path) -> Acl:
    """The directory's list, or one made from its mode."""
    try:
        return parse_acl(os.getxattr(directory, ATTRIBUTE))
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
    mode = stat.S_IMODE(directory.stat().st_mode)
    return {(OWNER, NO_ID): mode >> 6 & 7, (OWNING_GROUP, NO_ID): mode >> 3 & 7, (OTHER, NO_ID): mode & 7}


def parse_acl(value: bytes) -> Acl:
    """Parse the bytes of the attribute."""
    return {(tag, who): bits for tag, bits, who in ENTRY.iter_unpack(value[len(HEADER) :])}


def render_acl(acl: Acl) -> bytes:
    """Render the bytes of the attribute: a version, then the entries by tag and id."""
    return HEADER + b"".join(ENTRY.pack(tag, bits, who) for (tag, who), bits in sorted(acl.items()))
