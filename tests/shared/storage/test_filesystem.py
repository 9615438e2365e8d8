"""The file system store: no key leaves the root, other software's trees work, and disks fail cleanly."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.errors import StorageFailed, StorageUnavailable, TornBlob
from shared.storage.attributes import ATTRIBUTE, DIGEST_ATTRIBUTE, IDENTITY_ATTRIBUTE, SIZE_ATTRIBUTE, unpack
from shared.storage.filesystem import FileSystemStorage
from shared.storage.interface import Found, Missing, Opened
from tests.shared.storage.conftest import keys, put, read, sha256


def failing(number: int) -> Callable[..., Any]:
    """A call to the operating system that fails."""

    def fail(*_: object, **__: object) -> Any:
        raise OSError(number, os.strerror(number))

    return fail


async def test_a_key_cannot_leave_through_a_linked_folder(
    directory_storage: FileSystemStorage, root: Path, tmp_path: Path
) -> None:
    """A symbolic link out of the root is an error for reads and writes."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (root / "dl").mkdir(parents=True)
    (root / "dl" / "away").symlink_to(outside)
    await put(directory_storage, "a")
    calls = [
        directory_storage.get("dl/away/secret"),
        directory_storage.head("dl/away/secret"),
        read(directory_storage, "dl/away/secret"),
        put(directory_storage, "dl/away/new/deep"),
        directory_storage.copy("dl/away/secret", "b"),
        directory_storage.copy("a", "dl/away/b"),
        directory_storage.delete("dl/away/secret"),
    ]
    for call in calls:
        with pytest.raises(StorageFailed, match="leaves the storage root"):
            await call
    assert [path.name for path in outside.iterdir()] == ["secret"]
    assert await keys(directory_storage) == ["a"]


async def test_a_linked_file_is_not_followed(
    directory_storage: FileSystemStorage, root: Path, tmp_path: Path
) -> None:
    """Reading it is an error, listings skip it, and a put replaces the link, not its target."""
    (tmp_path / "secret").write_bytes(b"secret")
    root.mkdir()
    (root / "a").symlink_to(tmp_path / "secret")
    for call in (directory_storage.get("a"), directory_storage.head("a"), directory_storage.copy("a", "b")):
        with pytest.raises(StorageFailed):
            await call
    assert await keys(directory_storage) == []
    await put(directory_storage, "a", b"mine")
    assert (tmp_path / "secret").read_bytes() == b"secret"
    assert await read(directory_storage, "a") == b"mine"


async def test_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    """Operators mount volumes anywhere."""
    (tmp_path / "volume").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "volume")
    storage = FileSystemStorage(tmp_path / "data")
    await put(storage, "index/a", b"body")
    assert await read(storage, "index/a") == b"body"
    assert (tmp_path / "volume" / "index" / "a").read_bytes() == b"body"
    await storage.close()


async def test_a_pipe_in_the_tree_holds_nobody(directory_storage: FileSystemStorage, root: Path) -> None:
    """Only a regular file is a blob."""
    root.mkdir()
    os.mkfifo(root / "pipe")
    assert await directory_storage.get("pipe") == Missing()
    assert await keys(directory_storage) == []


async def test_the_tree_is_what_it_says(directory_storage: FileSystemStorage, root: Path) -> None:
    """Keys are paths, bodies are whole files, any account may read them, and no other file exists."""
    await put(directory_storage, "index/he/ll/hello", b"line\n")
    files = [path for path in root.rglob("*") if path.is_file()]
    assert files == [root / "index/he/ll/hello"]
    assert files[0].read_bytes() == b"line\n"
    assert files[0].stat().st_mode & 0o777 == 0o644


async def test_a_tree_copied_by_hand_serves_the_same_digests(
    directory_storage: FileSystemStorage, root: Path
) -> None:
    """Without attributes, digests are computed, and again after a file is replaced."""
    (root / "dl/a").mkdir(parents=True)
    (root / "dl/a/download").write_bytes(b"archive")
    found = await directory_storage.get("dl/a/download")
    head = await directory_storage.head("dl/a/download")
    assert isinstance(found, Found)
    assert found.digest == sha256(b"archive")
    assert head == found.info
    assert await directory_storage.copy("dl/a/download", "dl/b/download")
    (root / "new").write_bytes(b"another")
    (root / "new").rename(root / "dl/a/download")
    async with directory_storage.open("dl/a/download") as opened:
        assert isinstance(opened, Opened)
        assert opened.info.digest == sha256(b"another")
    assert await read(directory_storage, "dl/b/download") == b"archive"


async def test_a_digest_is_computed_once_for_each_revision(
    directory_storage: FileSystemStorage, root: Path
) -> None:
    """The second head does not read the body; it would notice that the bytes are different."""
    root.mkdir()
    (root / "a").write_bytes(b"one")
    first = await directory_storage.head("a")
    state = (root / "a").stat()
    (root / "a").write_bytes(b"two")
    os.utime(root / "a", ns=(state.st_atime_ns, state.st_mtime_ns))
    assert await directory_storage.head("a") == first
    os.utime(root / "a")
    again = await directory_storage.head("a")
    assert again is not None
    assert again.digest == sha256(b"two")


@pytest.mark.parametrize("name", [ATTRIBUTE, DIGEST_ATTRIBUTE])
async def test_a_foreign_attribute_is_not_taken_for_a_digest(
    directory_storage: FileSystemStorage, root: Path, name: str
) -> None:
    """Only our own attributes count."""
    root.mkdir()
    (root / "a").write_bytes(b"body")
    os.setxattr(root / "a", name, b"junk\r\nx: y")
    info = await directory_storage.head("a")
    assert info is not None
    assert (info.digest, info.generation) == (sha256(b"body"), 0)


async def test_attributes_of_an_older_release_are_read(
    directory_storage: FileSystemStorage, root: Path
) -> None:
    """It had one attribute per field and no generation; its values are trusted, and not computed again."""
    root.mkdir()
    (root / "a.gz").write_bytes(b"body")
    digest, identity = sha256(b"another body"), sha256(b"identity")
    for name, value in ((DIGEST_ATTRIBUTE, digest), (IDENTITY_ATTRIBUTE, identity), (SIZE_ATTRIBUTE, "4")):
        os.setxattr(root / "a.gz", name, value.encode())
    info = await directory_storage.head("a.gz")
    assert info is not None
    assert (info.digest, info.identity_digest, info.generation) == (digest, identity, 0)
    with (root / "a.gz").open("ab") as file:
        file.write(b"!")
    with pytest.raises(TornBlob):
        await directory_storage.get("a.gz")


async def test_a_file_system_without_attributes_stores_all_the_same(
    directory_storage: FileSystemStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Digests are then computed on load."""
    monkeypatch.setattr(os, "setxattr", failing(errno.ENOTSUP))
    monkeypatch.setattr(os, "getxattr", failing(errno.ENOTSUP))
    await put(directory_storage, "a", b"body")
    found = await directory_storage.get("a")
    assert isinstance(found, Found)
    assert found.digest == sha256(b"body")


@pytest.mark.parametrize("number", [errno.EPERM, errno.EMLINK, errno.ENOTSUP])
async def test_a_file_system_without_hard_links_copies_bytes(
    directory_storage: FileSystemStorage, root: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The copy has both digests."""
    await put(directory_storage, "a", bytes(300_000), identity_digest=sha256(b"identity"))
    monkeypatch.setattr(os, "link", failing(number))
    assert await directory_storage.copy("a", "b")
    assert (root / "a").stat().st_ino != (root / "b").stat().st_ino
    info = await directory_storage.head("b")
    assert info is not None
    assert (info.digest, info.identity_digest) == (sha256(bytes(300_000)), sha256(b"identity"))


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP])
async def test_a_file_system_without_hard_links_knows_what_is_absent(
    directory_storage: FileSystemStorage, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A package's first index file is put with this condition."""
    monkeypatch.setattr(os, "link", failing(number))
    assert await put(directory_storage, "a", b"first", only_if_absent=True)
    assert not await put(directory_storage, "a", b"second", only_if_absent=True)
    assert await read(directory_storage, "a") == b"first"


async def test_what_is_no_blob_does_not_keep_one_away(
    directory_storage: FileSystemStorage, root: Path
) -> None:
    """A pipe reads as absent, and a put treats it so too."""
    root.mkdir()
    os.mkfifo(root / "a")
    assert await directory_storage.head("a") is None
    assert await put(directory_storage, "a", b"body", only_if_absent=True)
    assert await read(directory_storage, "a") == b"body"


async def test_a_file_of_the_same_file_system_is_moved(
    directory_storage: FileSystemStorage, root: Path, tmp_path: Path
) -> None:
    """The bytes of an upload are not written twice."""
    upload = tmp_path / "upload"
    upload.write_bytes(b"body")
    inode = upload.stat().st_ino
    await directory_storage.put_file("a", upload, content_type="text/plain", digest=sha256(b"body"))
    assert (root / "a").stat().st_ino == inode
    assert not upload.exists()


async def test_a_file_of_another_file_system_is_copied(
    directory_storage: FileSystemStorage, root: Path
) -> None:
    """The source stays; the blob is whole and has its digest."""
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as upload:
        upload.write(bytes(300_000))
        upload.flush()
        assert os.stat(upload.name).st_dev != root.parent.stat().st_dev
        await directory_storage.put_file(
            "a", Path(upload.name), content_type="text/plain", digest=sha256(bytes(300_000))
        )
        assert os.path.exists(upload.name)
    assert (root / "a").read_bytes() == bytes(300_000)
    sealed = unpack(os.getxattr(root / "a", ATTRIBUTE))
    assert sealed is not None
    assert sealed.attributes.digest == sha256(bytes(300_000))


async def test_three_puts_in_one_moment_have_three_revisions(directory_storage: FileSystemStorage) -> None:
    """Inode numbers are reused at once, and the kernel's clock ticks slowly."""
    revisions = []
    for body in (b"1", b"2", b"3") * 5:
        await put(directory_storage, "a", body)
        info = await directory_storage.head("a")
        assert info is not None
        revisions.append(info.revision)
    assert len(set(revisions)) == len(revisions)


async def test_a_tree_that_was_removed_is_built_again(
    directory_storage: FileSystemStorage, root: Path
) -> None:
    """The store does not assume that folders still exist."""
    await put(directory_storage, "index/a")
    shutil.rmtree(root)
    assert await directory_storage.get("index/a") == Missing()
    assert await keys(directory_storage) == []
    await put(directory_storage, "index/a")
    assert await keys(directory_storage) == ["index/a"]


async def test_a_missing_root_fails_the_check(directory_storage: FileSystemStorage, root: Path) -> None:
    """An unmounted volume is not an empty registry; no folder is created in its place."""
    with pytest.raises(StorageFailed):
        await directory_storage.check()
    assert not root.exists()
    await directory_storage.create()
    await directory_storage.check()


async def test_a_full_disk_is_unavailable_and_leaves_nothing(
    directory_storage: FileSystemStorage, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old blob stays, and no unfinished file is left."""
    await put(directory_storage, "a", b"old")
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", failing(errno.ENOSPC))
        with pytest.raises(StorageUnavailable):
            await put(directory_storage, "a", b"new")
    assert await read(directory_storage, "a") == b"old"
    assert set(os.listdir(root / "tmp")) <= {"locks"}


async def test_only_old_unfinished_files_are_swept(directory_storage: FileSystemStorage, root: Path) -> None:
    """Another process may be writing young ones; files outside tmp/ are never touched."""
    await put(directory_storage, "a")
    (root / "tmp" / "put-killed").write_bytes(b"half")
    (root / "tmp" / "folder").mkdir()
    assert await directory_storage.sweep_temporary(3600) == 0
    assert await directory_storage.sweep_temporary(0) == 1
    assert os.listdir(root / "tmp") == ["folder"]
    assert await keys(directory_storage) == ["a"]


async def test_a_copy_in_progress_is_not_old_because_its_source_is(
    directory_storage: FileSystemStorage, root: Path
) -> None:
    """A hard link has the times of its source, except for the one that the sweep uses."""
    await put(directory_storage, "a")
    os.utime(root / "a", (0, 0))
    os.link(root / "a", root / "tmp" / "put-copy")
    assert await directory_storage.sweep_temporary(3600) == 0


async def test_an_opening_that_is_given_up_closes_its_file(
    directory_storage: FileSystemStorage, root: Path
) -> None:
    """Clients that disconnect leave no open descriptor, however early they do."""
    await put(directory_storage, "a", bytes(100_000))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        task = asyncio.create_task(read(directory_storage, "a"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await directory_storage.close()
    await asyncio.sleep(0)  # lets the callbacks of the last openings run
    assert len(os.listdir("/proc/self/fd")) <= before
