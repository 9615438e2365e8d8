"""The settings choose the store."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shared.settings import Settings
from shared.storage.filesystem import FileSystemStorage
from shared.storage.opening import open_storage
from shared.storage.reporting import ReportingStorage
from shared.storage.s3 import S3Storage


@pytest.mark.parametrize("name", ["fs", "filesystem"])
async def test_a_directory_is_made_when_it_is_opened(tmp_path: Path, name: str) -> None:
    """A new registry is ready before anything is published."""
    storage = await open_storage(Settings(storage=name, data_dir=tmp_path / "new" / "data"))
    assert isinstance(storage, ReportingStorage)
    assert isinstance(storage.wrapped, FileSystemStorage)
    await storage.check()
    await storage.close()


async def test_a_bucket_is_connected_to(bucket_settings: Settings) -> None:
    """The S3 store answers."""
    storage = await open_storage(bucket_settings)
    assert isinstance(storage, ReportingStorage)
    assert isinstance(storage.wrapped, S3Storage)
    await storage.check()
    await storage.close()


async def test_a_directory_that_cannot_be_made_does_not_stop_the_start(tmp_path: Path) -> None:
    """The process starts and reports that it is not ready."""
    (tmp_path / "file").write_bytes(b"")
    storage = await open_storage(Settings(storage="fs", data_dir=tmp_path / "file" / "data"))
    assert await storage.head("a") is None
    await storage.close()


async def test_young_unfinished_files_survive_a_start(tmp_path: Path) -> None:
    """They may be uploads of another process."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp" / "upload-x").write_bytes(b"half")
    storage = await open_storage(Settings(storage="fs", data_dir=tmp_path))
    await storage.close()
    assert os.listdir(tmp_path / "tmp") == ["upload-x"]
