"""Opens the configured object store."""

from __future__ import annotations

import structlog

from shared.causes import cause_of
from shared.errors import RegistryError
from shared.settings import Settings
from shared.stop_points import last_change
from shared.storage.filesystem import FileSystemStorage
from shared.storage.interface import Storage
from shared.storage.reporting import ReportingStorage
from shared.storage.stopping import StoppingStorage

UNFINISHED_AFTER_S = 86_400.0
NEVER = 0

log = structlog.get_logger()


async def open_storage(settings: Settings) -> Storage:
    """The configured store; the caller closes it. The S3 client library is loaded only when needed."""
    storage: Storage
    if settings.stores_files:
        storage = directory = FileSystemStorage(settings.data_dir)
        await _tidy(directory)
    else:
        from shared.storage.s3 import S3Storage

        storage = await S3Storage.connect(settings)
    if settings.test_stop_at is not None:
        storage = StoppingStorage(storage, last_change(settings.test_stop_at) or NEVER)
    return ReportingStorage(storage)


async def _tidy(storage: FileSystemStorage) -> None:
    """Create the root and delete what killed processes left. Failures are only logged as warnings.

    For a read service, the tree may be mounted read-only, or its disk may not be mounted yet.
    """
    try:
        await storage.create()
        await storage.sweep_temporary(UNFINISHED_AFTER_S)
    except RegistryError as error:
        log.warning("storage_not_tidied", cause=cause_of(error))
