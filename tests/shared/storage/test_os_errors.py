"""Which errors of the operating system may pass, so that a retry helps."""

from __future__ import annotations

import errno
import os

import pytest

from shared.errors import StorageFailed, StorageUnavailable
from shared.storage.os_errors import mapped_os_errors


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE])
def test_trouble_that_may_pass_is_unavailable(number: int) -> None:
    """A full or failing disk gives 503, and the log has the cause."""
    with pytest.raises(StorageUnavailable) as raised, mapped_os_errors():
        raise OSError(number, os.strerror(number))
    assert isinstance(raised.value.__cause__, OSError)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENAMETOOLONG, errno.ELOOP])
def test_trouble_that_stays_is_a_failure(number: int) -> None:
    """Permissions do not change by themselves; clients do not learn the path."""
    with pytest.raises(StorageFailed) as raised, mapped_os_errors():
        raise OSError(number, os.strerror(number), "/secret/path")
    assert "/secret" not in raised.value.message
