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


def allows_search(directory: Path, user_id: int, group_id: int) -> bool:
    """True if a user with only this group may pass through the directory (acl(5), access check algorithm)."""
    acl, status = _read(directory), directory.stat()
    mask = acl.get((MASK, NO_ID), 7)
    if user_id == status.st_uid:
        return bool(acl[OWNER, NO_ID] & SEARCH)
    if (named := acl.get((USER, user_id))) is not None:
        return bool(named & mask & SEARCH)
    groups = [acl[OWNING_GROUP, NO_ID]] if group_id == status.st_gid else []
    groups += [bits for (tag, who), bits in acl.items() if (tag, who) == (GROUP, group_id)]
    if groups:
        return any(bits & mask & SEARCH for bits in groups)
    return bool(acl[OTHER, NO_ID] & SEARCH)


def _read(directory: Path) -> Acl:
    """The directory's list, or one made from its mode."""
    try:
        return parse_acl(os.getxattr(directory, ATTRIBUTE))
    except OSError as error:
        if error.errno not in (errno.ENODATA, errno.ENOTSUP):  # no list, or none is possible
            raise
    mode = stat.S_IMODE(directory.stat().st_mode)
    return {(OWNER, NO_ID): mode >> 6 & 7, (OWNING_GROUP, NO_ID): mode >> 3 & 7, (OTHER, NO_ID): mode & 7}


def parse_acl(value: bytes) -> Acl:
    """Parse the bytes of the attribute."""
    return {(tag, who): bits for tag, bits, who in ENTRY.iter_unpack(value[len(HEADER) :])}


def render_acl(acl: Acl) -> bytes:
    """Render the bytes of the attribute: a version, then the entries by tag and id."""
    return HEADER + b"".join(ENTRY.pack(tag, bits, who) for (tag, who), bits in sorted(acl.items()))
