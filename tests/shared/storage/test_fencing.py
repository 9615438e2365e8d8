"""Late changes have no effect: generations and conditions are compared in one step with the write."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shared.errors import StorageUnavailable
from shared.storage.filesystem import FileSystemStorage
from shared.storage.interface import BlobInfo, Found, Storage
from tests.loud import say_loudly
from tests.shared.storage.conftest import keys, put, read

KEY = "index/he/ll/hello"
PROCESSES = 4
PUTS = 60
# Puts generations 1 to N over the blob that it sees, and prints how often a condition failed.
RACER = """
import asyncio, hashlib, json, os, sys
from pathlib import Path
from shared.storage.filesystem import FileSystemStorage

async def main():
    storage, refused = FileSystemStorage(Path(sys.argv[1])), 0
    for generation in range(1, int(sys.argv[3]) + 1):
        body = f"{generation} of {os.getpid()}".encode()
        seen = await storage.head(sys.argv[2])
        refused += not await storage.put(
            sys.argv[2], body, content_type="text/plain", digest=hashlib.sha256(body).hexdigest(),
            generation=generation, only_if_absent=seen is None, if_revision=seen and seen.revision)
    await storage.close()
    print(json.dumps(refused))

asyncio.run(main())
"""
# Runs a command in a mount namespace of its own, in which the first folder is also mounted at the second one.
MOUNTED = ("unshare", "--mount", "sh", "-euc", 'mount --bind "$1" "$2"; shift 2; exec "$@"', "sh")
NOT_MOUNTED = "this user may not mount folders: locks over two mounts were tested over a link; run as root"
# Holds the lock of a key's folder until it is killed.
HOLDER = """
import os, signal, sys
from shared.storage.replacement_locks import ReplacementLocks

with ReplacementLocks(sys.argv[1]).held(sys.argv[2]):
    print("held", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
"""


async def info_of(storage: Storage, key: str = KEY) -> BlobInfo:
    """The metadata of an existing blob."""
    info = await storage.head(key)
    assert info is not None
    return info


async def test_a_blob_carries_the_generation_that_made_it(storage: Storage, tmp_path: Path) -> None:
    """This holds for every way to write and read it, and for a copy."""
    await put(storage, "a", generation=7)
    path = tmp_path / "b"
    path.write_bytes(b"body")
    digest = (await info_of(storage, "a")).digest
    assert digest is not None
    await storage.put_file("b", path, content_type="text/plain", digest=digest, generation=1 << 40)
    await put(storage, "none")
    assert await storage.copy("a", "c")
    found = {key: (await info_of(storage, key)).generation for key in ("a", "b", "c", "none")}
    assert found == {"a": 7, "b": 1 << 40, "c": 7, "none": 0}
    got = await storage.get("b")
    assert isinstance(got, Found)
    assert got.info.generation == 1 << 40


async def test_a_conditional_copy_replaces_nothing(storage: Storage) -> None:
    """An existing archive is not replaced, and a late copy is reported."""
    await put(storage, "staging/a", b"first")
    await put(storage, "staging/b", b"second")
    assert await storage.copy("staging/a", "dl/a", only_if_absent=True)
    assert not await storage.copy("staging/b", "dl/a", only_if_absent=True)
    assert not await storage.copy("staging/none", "dl/b", only_if_absent=True)
    assert await read(storage, "dl/a") == b"first"
    assert await keys(storage, "dl/") == ["dl/a"]


async def test_of_many_conditional_copies_one_gets_through(storage: Storage) -> None:
    """The bytes are those of the one that reported success."""
    for number in range(8):
        await put(storage, f"staging/{number}", b"%d" % number)
    copies = (storage.copy(f"staging/{number}", "dl/a", only_if_absent=True) for number in range(8))
    outcomes = await asyncio.gather(*copies)
    assert [b"%d" % number for number, copied in enumerate(outcomes) if copied] == [
        await read(storage, "dl/a")
    ]


async def test_a_delete_of_another_revision_changes_nothing(storage: Storage) -> None:
    """A newer blob is not deleted; without a condition, absence is not an error."""
    await put(storage, "a", b"first")
    seen = await info_of(storage, "a")
    await put(storage, "a", b"newer")
    assert not await storage.delete("a", if_revision=seen.revision)
    assert await read(storage, "a") == b"newer"
    assert await storage.delete("a", if_revision=(await info_of(storage, "a")).revision)
    assert await storage.head("a") is None
    assert not await storage.delete("a", if_revision=seen.revision)
    assert await storage.delete("a")


async def test_a_directory_refuses_a_put_of_an_older_generation(directory_storage: FileSystemStorage) -> None:
    """This holds whatever other conditions the put has."""
    await put(directory_storage, KEY, b"newer", generation=8)
    seen = await info_of(directory_storage)
    assert not await put(directory_storage, KEY, b"late", generation=7)
    assert not await put(directory_storage, KEY, b"late", generation=7, if_revision=seen.revision)
    assert await info_of(directory_storage) == seen
    assert await put(directory_storage, KEY, b"again", generation=8, if_revision=seen.revision)
    assert await put(directory_storage, KEY, b"unknown")  # as by an older release


def may_mount(path: Path) -> bool:
    """True if this user may mount a folder in a mount namespace of its own."""
    path.mkdir()
    probe = [*MOUNTED, str(path), str(path), "true"]
    return shutil.which("unshare") is not None and subprocess.run(probe, capture_output=True).returncode == 0


async def test_processes_over_two_mounts_of_a_directory_never_step_back(
    root: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Each process compares and replaces in one step, so that every put replaced an older generation.

    Half of the processes have the directory mounted elsewhere, like another host.
    """
    root.mkdir()
    mount = tmp_path / "mount"
    elsewhere = [*MOUNTED, str(root), str(mount)]
    if not may_mount(mount):
        say_loudly(request, NOT_MOUNTED)
        mount.rmdir()
        mount.symlink_to(root)
        elsewhere = []
    racers = [
        await asyncio.create_subprocess_exec(
            *command, sys.executable, "-c", RACER, str(path), KEY, str(PUTS), stdout=subprocess.PIPE
        )
        for command, path in (([], root), (elsewhere, mount)) * (PROCESSES // 2)
    ]
    outputs = [asyncio.create_task(racer.communicate()) for racer in racers]
    storage, seen = FileSystemStorage(root), [0]
    while not all(output.done() for output in outputs):
        info = await storage.head(KEY)
        seen.append(0 if info is None else info.generation)
    await storage.close()
    assert [racer.returncode for racer in racers] == [0] * PROCESSES
    assert seen == sorted(seen)
    assert sum([json.loads((await output)[0]) for output in outputs]) > 0
    assert (await info_of(FileSystemStorage(root))).generation == PUTS


@contextmanager
def stopped_holder(root: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that was stopped between its comparison and its rename."""
    command = [sys.executable, "-c", HOLDER, str(root.absolute()), KEY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        try:
            yield holder
        finally:
            holder.kill()


async def test_a_process_that_is_stopped_in_the_step_holds_up_its_folder_alone(
    directory_storage: FileSystemStorage, root: Path
) -> None:
    """Others are asked to retry; when it dies, the kernel releases its lock."""
    with stopped_holder(root) as holder:
        with pytest.raises(StorageUnavailable, match="does not finish replacing index/he/ll/hello"):
            await put(directory_storage, KEY, generation=1)
        assert await put(directory_storage, "index/ot/he/other", generation=1)
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        assert await put(directory_storage, KEY, generation=1)
