"""Object storage: one interface, two back ends (file system, S3)."""

from __future__ import annotations

from shared.settings import Settings
from shared.storage.interface import Storage


async def open_storage(settings: Settings) -> Storage:
    """The configured store; the caller closes it. S3's client library is loaded only if it is needed."""
    if settings.stores_files:
        from shared.storage.filesystem import FileSystemStorage

        return FileSystemStorage(settings.data_dir)
    from shared.storage.s3 import S3Storage

    return await S3Storage.connect(settings)
