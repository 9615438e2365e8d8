"""Maps errors of the operating system to ours, and so decides for which of them a retry may help."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from shared.errors import StorageFailed, StorageUnavailable

ABSENT: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG})
"""Errors that mean to a reader that no blob has the key. A name that is too long cannot exist."""

PASSING: Final = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,  # ext4 becomes read-only after an I/O error, until it is repaired
        errno.EIO,
        errno.ESTALE,
        errno.EMFILE,
        errno.ENFILE,
    }
)


@contextmanager
def mapped_os_errors() -> Iterator[None]:
    """Raise OSError as StorageUnavailable or StorageFailed; the cause, with the path, is for the log."""
    try:
        yield
    except OSError as error:
        if error.errno in PASSING:
            raise StorageUnavailable from error
        raise StorageFailed from error
