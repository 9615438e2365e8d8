"""Object storage: one interface, two back ends (file system, S3)."""

from __future__ import annotations

import structlog

from shared.errors import RegistryError
from shared.settings import Settings
from shared.stop_points import stop_after_changes
from shared.storage.filesystem import FileSystemStorage
from shared.storage.interface import Storage

UNFINISHED_AFTER_S = 86_400.0

log = structlog.get_logger()


async def open_storage(settings: Settings) -> Storage:
    """The configured store; the caller closes it. S3's client library is loaded only if it is needed."""
    storage: Storage
    if settings.stores_files:
        storage = directory = FileSystemStorage(settings.data_dir)
        await _tidy(directory)
    else:
        from shared.storage.s3 import S3Storage

        storage = await S3Storage.connect(settings)
    stop_after_changes(storage, settings.test_stop_at)
    return storage


async def _tidy(storage: FileSystemStorage) -> None:
    """Make the root and clear away what killed processes left; no more than a warning if that fails.

    A read service may see the tree mounted read-only, or before its disk is there.
    """
    try:
        await storage.create()
        await storage.sweep_temporary(UNFINISHED_AFTER_S)
    except RegistryError as error:
        log.warning("storage_not_tidied", cause=repr(error.__cause__))
