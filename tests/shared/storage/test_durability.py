"""The state of storage after a power cut, or after a process was killed during a write."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from shared.errors import StorageFailed
from shared.storage.attributes import Attributes
from shared.storage.directory import Directory
from shared.storage.interface import Found
from shared.storage.new_blob import UNCONDITIONAL, Condition, NewBlob
from tests.shared.storage.conftest import sha256

Write = Callable[[Directory, Path], object]
NAMED = "rename tmp/… index/he/hello"
OLD, NEW = b"old" * 1000, b"new" * 2000


def put(directory: Directory, _: Path) -> None:
    """Write the blob from memory."""
    directory.change([partial(directory.put, "index/he/hello", NEW, Attributes(sha256(NEW)), UNCONDITIONAL)])


def put_if_absent(directory: Directory, _: Path) -> None:
    """Write the blob from memory, if it does not exist."""
    directory.change(
        [
            partial(
                directory.put, "index/he/hello", NEW, Attributes(sha256(NEW)), Condition(only_if_absent=True)
            )
        ]
    )


def put_file(directory: Directory, upload: Path) -> None:
    """Write the blob from a file."""
    directory.change(
        [partial(directory.put_file, "index/he/hello", upload, Attributes(sha256(NEW)), UNCONDITIONAL)]
    )


def copy(directory: Directory, _: Path) -> None:
    """Write the blob from another."""
    directory.change([partial(directory.copy, "staging/new", "index/he/hello", UNCONDITIONAL)])


def put_in_order(directory: Directory, _: Path) -> object:
    """Write the blob, after a link to a staged one and another blob."""
    earlier, later = (
        NewBlob(key, NEW, Attributes(sha256(NEW)), UNCONDITIONAL) for key in ("dl/page", "index/he/hello")
    )
    links = [("staging/new", "dl/archive")]
    return directory.change([partial(directory.put_in_order, links, [earlier], [later])])


@pytest.fixture
def upload(tmp_path: Path) -> Path:
    """A received file with the new body."""
    path = tmp_path / "upload"
    path.write_bytes(NEW)
    return path


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Record the calls to the operating system from now on, in order; every call is really made."""
    made: list[str] = []

    def record(name: str, describe: Callable[..., str]) -> None:
        real = getattr(os, name)

        def recorded(*args: Any, **kwargs: Any) -> Any:
            made.append(f"{name} {describe(*args)}")
            return real(*args, **kwargs)

        monkeypatch.setattr(os, name, recorded)

    def shown(path: Any) -> str:
        where = os.readlink(f"/proc/self/fd/{path}") if isinstance(path, int) else str(path)
        relative = os.path.relpath(where, tmp_path / "tree")
        return "tmp/…" if relative.startswith("tmp/") else relative

    for name in ("fsync", "mkdir"):
        record(name, lambda path, *_: shown(path))
    for name in ("rename", "link"):
        record(name, lambda source, target: f"{shown(source)} {shown(target)}")
    return made


def test_a_body_is_on_disk_before_its_name_and_its_name_before_the_answer(
    calls: list[str], tmp_path: Path
) -> None:
    """File, name, folder; and each new folder in its parent."""
    put(Directory(tmp_path / "tree"), tmp_path)
    before_name, after_name = calls[: calls.index(NAMED)], calls[calls.index(NAMED) + 1 :]
    assert before_name == ["mkdir .", "mkdir tmp", "fsync tmp/…", "mkdir index", "mkdir index/he"]
    assert sorted(after_name) == ["fsync .", "fsync ..", "fsync index", "fsync index/he"]


def test_a_second_put_flushes_only_what_changed(calls: list[str], tmp_path: Path) -> None:
    """A durable put needs at least two flushes."""
    directory = Directory(tmp_path / "tree")
    put(directory, tmp_path)
    calls.clear()
    put(directory, tmp_path)
    assert calls == ["fsync tmp/…", "rename tmp/… index/he/hello", "fsync index/he"]


def test_folders_that_another_process_made_are_flushed_once(calls: list[str], tmp_path: Path) -> None:
    """They may not be on disk yet, and then the blob would be lost with them."""
    put(Directory(tmp_path / "tree"), tmp_path)
    calls.clear()
    directory = Directory(tmp_path / "tree")
    put_if_absent(directory, tmp_path)
    # The last one flushes although the blob existed, because its writer may not have flushed yet.
    flushed = [call for call in calls if call.startswith("fsync")]
    assert flushed[0] == "fsync tmp/…"
    assert sorted(flushed[1:]) == ["fsync .", "fsync index", "fsync index/he"]


def test_changes_together_flush_each_folder_once_after_the_last_name(
    calls: list[str], tmp_path: Path
) -> None:
    """This makes simultaneous publishes cheap; each body is still on disk before its name."""
    directory = Directory(tmp_path / "tree")
    put(directory, tmp_path)
    calls.clear()
    changes = [
        partial(directory.put, f"index/he/{name}", NEW, Attributes(sha256(NEW)), UNCONDITIONAL)
        for name in "ab"
    ]
    directory.change([*changes, partial(directory.delete, "index/he/hello", UNCONDITIONAL)])
    assert calls == [
        *("fsync tmp/…", "fsync tmp/…"),
        *("rename tmp/… index/he/a", "rename tmp/… index/he/b"),
        "fsync index/he",
    ]


def test_what_comes_later_gets_its_name_when_the_earlier_names_are_on_disk(
    calls: list[str], tmp_path: Path
) -> None:
    """After a power cut, no index file names an archive that is lost; all bodies share a flush."""
    directory = Directory(tmp_path / "tree")
    directory.change([partial(directory.put, "staging/new", NEW, Attributes(sha256(NEW)), UNCONDITIONAL)])
    put(directory, tmp_path)
    calls.clear()
    assert put_in_order(directory, tmp_path) == [True]
    assert calls[:5] == [
        *("fsync tmp/…", "fsync tmp/…", "mkdir dl"),
        *("link staging/new dl/archive", "rename tmp/… dl/page"),
    ]
    assert sorted(calls[5:7]) == ["fsync .", "fsync dl"]
    assert calls[7:] == [NAMED, "fsync index/he"]
    calls.clear()
    assert put_in_order(directory, tmp_path) == [False]  # the archive's name is taken
    assert NAMED not in calls


def test_one_change_that_fails_leaves_the_others_alone(tmp_path: Path) -> None:
    """Batching saves flushes; the changes are independent."""
    directory = Directory(tmp_path / "tree")
    good = partial(directory.put, "index/he/hello", NEW, Attributes(sha256(NEW)), UNCONDITIONAL)
    bad = partial(
        directory.put_file, "index/he/other", tmp_path / "missing", Attributes(sha256(NEW)), UNCONDITIONAL
    )
    outcomes = directory.change([bad, good])
    assert isinstance(outcomes[0], StorageFailed)
    assert outcomes[1] is True
    assert isinstance(directory.get("index/he/hello", None), Found)


@pytest.mark.parametrize("write", [put_file, copy])
def test_moves_and_copies_flush_the_folder_of_their_target(
    calls: list[str], tmp_path: Path, upload: Path, write: Write
) -> None:
    """Their bodies are on disk already, or are flushed first."""
    directory = Directory(tmp_path / "tree")
    directory.change([partial(directory.put, "staging/new", NEW, Attributes(sha256(NEW)), UNCONDITIONAL)])
    put(directory, tmp_path)
    calls.clear()
    write(directory, upload)
    moved = ["fsync ../upload", "rename ../upload index/he/hello"]
    # A copy to a free name is a link; this name is taken.
    copied = ["link staging/new index/he/hello", "link staging/new tmp/…", "rename tmp/… index/he/hello"]
    assert calls == [*(moved if write is put_file else copied), "fsync index/he"]


@pytest.mark.parametrize("write", [put, put_if_absent, put_file, copy, put_in_order])
@pytest.mark.parametrize("exists", [True, False])
def test_a_kill_at_any_point_leaves_the_old_blob_or_the_new_one(
    tmp_path: Path, upload: Path, write: Write, exists: bool
) -> None:
    """SIGKILL before the n-th call to the operating system, for every n, until a write completes."""
    root = tmp_path / "tree"
    directory = Directory(root)
    directory.change([partial(directory.put, "staging/new", NEW, Attributes(sha256(NEW)), UNCONDITIONAL)])
    if exists:
        directory.change(
            [partial(directory.put, "index/he/hello", OLD, Attributes(sha256(OLD)), UNCONDITIONAL)]
        )
    allowed = {OLD, NEW} if exists else {None, NEW}
    kills = itertools.takewhile(
        lambda number: not _survives(number, write, root, upload, allowed), itertools.count()
    )
    assert len(list(kills)) >= 5
    assert Directory(root).sweep_temporary(0) >= (0 if write is put_file else 1)
    assert set(os.listdir(root / "tmp")) <= {"locks"}


def _survives(number: int, write: Write, root: Path, upload: Path, allowed: set[bytes | None]) -> bool:
    """Write in a process that is killed before its number-th call; False if it was killed."""
    if not upload.exists():
        upload.write_bytes(NEW)
    child = os.fork()
    if child == 0:
        try:
            _die_before_call(number)
            write(Directory(root), upload)
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    found = Directory(root).get("index/he/hello", None)
    body = found.body if isinstance(found, Found) else None
    assert body in allowed
    assert not isinstance(found, Found) or found.digest == sha256(found.body)
    assert [info.key for info in Directory(root).list("index/", "")] == ["index/he/hello"] * (
        body is not None
    )
    outcome = os.waitstatus_to_exitcode(status)
    assert outcome in (0, -signal.SIGKILL)
    return outcome == 0


def _die_before_call(number: int) -> None:
    """Kill this process at its number-th open, mkdir, setxattr, chmod, utime, rename, link or unlink."""
    countdown = iter(range(number, -1, -1))

    def count(event: str, _: object) -> None:
        if (event == "open" or event.startswith("os.")) and next(countdown, None) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
