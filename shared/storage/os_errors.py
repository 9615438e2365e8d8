"""The operating system's errors as ours: the one place that decides what a retry may cure."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from shared.errors import StorageFailed, StorageUnavailable

ABSENT: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG})
"""No blob has this key, for whoever reads. A name that is too long cannot exist."""

PASSING: Final = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,  # what ext4 becomes after an I/O error, until it is repaired
        errno.EIO,
        errno.ESTALE,
        errno.EMFILE,
        errno.ENFILE,
    }
)


@contextmanager
def mapped_os_errors() -> Iterator[None]:
    """OSError as StorageUnavailable or StorageFailed; the path stays in the cause, for the log."""
    try:
        yield
    except OSError as error:
        if error.errno in PASSING:
            raise StorageUnavailable from error
        raise StorageFailed from error
