"""The pool of check processes: the same answers, bounded in time and memory, fair to publishers."""

from __future__ import annotations

import asyncio
import itertools
import os
import resource
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from api.write.archive.check import check_archive
from api.write.archive.check_pool import Checks
from shared.errors import Internal, RegistryError, Unavailable
from shared.publish_errors import BadArchive, PublishLintFailed
from shared.settings import Settings
from tests.archives import build_archive, hello_archive, hello_manifest, hello_module, json_bytes
from tests.stack import eventually

ALICE, MALLORY = uuid4(), uuid4()
Check = Callable[[UUID, bytes], Any]


def heavy_archive(expressions: int = 150_000) -> bytes:
    """A publishable archive whose one module takes about a second to check."""
    module = hello_module()
    module["decls"][1]["body"] = ["begin", *itertools.repeat(["+", 1, 2], expressions)]
    return build_archive(hello_manifest(), {"modules/greeting.x07.json": json_bytes(module)})


@asynccontextmanager
async def running(**settings: Any) -> AsyncIterator[Checks]:
    """A pool with these settings, closed at the end."""
    checks = Checks(Settings(**settings))
    try:
        yield checks
    finally:
        await checks.close()


@pytest.fixture
def upload(tmp_path: Path) -> Callable[[bytes], Path]:
    """Put an archive into a file of its own."""
    numbers = itertools.count()

    def put(archive: bytes) -> Path:
        path = tmp_path / str(next(numbers))
        path.write_bytes(archive)
        return path

    return put


def process_of(checks: Checks) -> int:
    """The id of a pool's only process, which is idle."""
    (process,) = checks._idle
    return process.pid


async def test_a_process_answers_what_the_check_answers(upload: Callable[[bytes], Path]) -> None:
    """Results have every field, with extreme numbers and any text, and refusals have their full messages."""
    values = {"x07c_compat": "*", "big": 2**64 - 1, "small": -(2**63), "float": 1e308, "text": "é\U0001f600"}
    manifest = {"meta": {**values, "scale_classes_supported": ["small"], "nested": [None, True, {"a": []}]}}
    path = upload(hello_archive(**manifest))
    async with running() as checks:
        assert await checks.check(ALICE, path) == check_archive(path, allowed_hosts=[], allowed_buckets=[])
        for archive, refusal, words in (
            (b"", BadArchive, "the body is empty"),
            (hello_archive(name="A"), RegistryError, "name"),
            (build_archive(hello_manifest(), {"modules/greeting.x07.json": b"{"}), PublishLintFailed, "JSON"),
        ):
            with pytest.raises(refusal, match=words):
                await checks.check(ALICE, upload(archive))
        process_of(checks)  # one process was enough, and it is still alive


async def test_a_check_that_takes_too_long_is_ended(upload: Callable[[bytes], Path]) -> None:
    """The limit is processor time, so a busy machine refuses nobody; the next check gets a new process."""
    async with running(check_seconds=0.1) as checks:
        with pytest.raises(BadArchive, match="too long"):
            await checks.check(MALLORY, upload(heavy_archive()))
    async with running(check_seconds=30) as checks:
        assert (await checks.check(MALLORY, upload(heavy_archive()))).name == "hello"


async def test_a_process_that_stands_still_is_given_up(upload: Callable[[bytes], Path]) -> None:
    """The publisher may try again, and the next check gets a new process."""
    good = upload(hello_archive())
    async with running(check_seconds=0.2) as checks:
        await checks.check(ALICE, good)
        os.kill(process_of(checks), signal.SIGSTOP)
        with pytest.raises(Unavailable):
            await checks.check(ALICE, good)
        assert (await checks.check(ALICE, good)).name == "hello"


async def test_an_archive_that_takes_too_much_memory_is_refused(upload: Callable[[bytes], Path]) -> None:
    """The process handles this itself and lives on.

    The test lowers the limit, as no real archive reaches it.
    """
    async with running() as checks:
        await checks.check(ALICE, upload(hello_archive()))
        pid = process_of(checks)
        used_bytes = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
        resource.prlimit(pid, resource.RLIMIT_AS, (used_bytes + (8 << 20),) * 2)
        with pytest.raises(BadArchive, match="too much memory"):
            await checks.check(MALLORY, upload(heavy_archive()))
        assert (await checks.check(ALICE, upload(hello_archive()))).name == "hello"


async def test_a_process_that_was_killed_is_replaced(upload: Callable[[bytes], Path]) -> None:
    """During a check this is an internal error; between checks nobody notices."""
    async with running() as checks:
        await checks.check(ALICE, upload(hello_archive()))
        pid = process_of(checks)
        check = asyncio.create_task(checks.check(MALLORY, upload(heavy_archive())))
        await eventually(lambda: _is_running(pid))
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(Internal):
            await check
        await checks.check(ALICE, upload(hello_archive()))
        os.kill(process_of(checks), signal.SIGKILL)
        (process,) = checks._idle
        await process.wait()
        assert (await checks.check(ALICE, upload(hello_archive()))).name == "hello"


async def _is_running(pid: int) -> bool:
    """True if the process is running."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "R"


async def test_one_publisher_never_has_every_process(upload: Callable[[bytes], Path]) -> None:
    """One publisher's four heavy archives wait for each other; another publisher's check overtakes them."""
    heavy, good = upload(heavy_archive(60_000)), upload(hello_archive())
    async with running(check_processes=2) as checks:
        bad = [asyncio.create_task(checks.check(MALLORY, heavy)) for _ in range(4)]
        await checks.check(ALICE, good)
        assert sum(task.done() for task in bad) <= 2
        await asyncio.gather(*bad)
        assert len(checks._idle) == 2
        assert not checks._turns


async def test_a_process_knows_no_secret(
    upload: Callable[[bytes], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its environment nor inherited files contain secrets, so a compromised process finds none."""
    monkeypatch.setenv("X07_REGISTRY_S3_SECRET_ACCESS_KEY", "hidden")
    async with running() as checks:
        await checks.check(ALICE, upload(hello_archive()))
        pid = process_of(checks)
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        open_files = sorted(os.listdir(f"/proc/{pid}/fd"), key=int)
    assert environment.split(b"=")[0] == b"PYTHONPATH"
    assert environment.count(b"\0") == 1
    assert open_files == ["0", "1", "2"]
