"""`verify`, `repair` and `gc` at the command line: text, JSON, exit statuses, and a signal."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest_asyncio

from deploy.local.valkey import EmbeddedValkey
from tests.deploy.commands import document
from tests.deploy.forked_commands import run
from tests.deploy.processes import COMMAND, DEADLINE_S, environment


@pytest_asyncio.fixture
async def variables(
    new_database: Callable[[], Awaitable[str]], valkey: EmbeddedValkey, tmp_path: Path
) -> dict[str, str]:
    """The environment of an empty registry over a directory."""
    return {
        "X07_REGISTRY_DATABASE_URL": await new_database(),
        "X07_REGISTRY_REDIS_URL": valkey.url,
        "X07_REGISTRY_REDIS_NAMESPACE": tmp_path.name,
        "X07_REGISTRY_DATA_DIR": str(tmp_path / "tree"),
    }


def test_the_commands_of_an_operator_find_mend_and_remove(variables: dict[str, str]) -> None:
    """They go from an empty store to one that verifies; each prints its result and exits accordingly."""
    answer = run("verify", **variables)
    assert answer.returncode == 1
    assert answer.stdout.splitlines() == [
        "missing  index/config.json: there is no such blob",
        "missing  index/catalog.json: there is no such blob",
        "2 differences",
    ]
    status, report = document("repair", **variables)
    assert (status, report["ok"], report["mended"], report["left"]) == (0, True, 2, 0)
    assert [finding["mended"] for finding in report["findings"]] == [True, True]
    assert document("verify", "--deep", **variables) == (
        0,
        {"command": "verify", "findings": [], "ok": True, "complete": True, "differences": 0},
    )
    staged = Path(variables["X07_REGISTRY_DATA_DIR"]) / "staging" / ("ab" * 32)
    staged.parent.mkdir()
    staged.write_bytes(b"left")
    assert document("gc", **variables)[1]["staged"] == 0
    status, report = document("gc", "--older-than", "0", **variables)
    assert (status, report["staged"], report["size_bytes"]) == (0, 1, 4)
    assert not staged.exists()


def test_a_walk_stops_on_a_signal_with_a_whole_document(variables: dict[str, str]) -> None:
    """A program that reads it learns that it is incomplete; the shell gets 128 plus the signal's number."""
    dl = Path(variables["X07_REGISTRY_DATA_DIR"]) / "dl"
    dl.mkdir(parents=True)
    for number in range(2000):
        (dl / f"extra-{number}").write_bytes(b"extra")
    with subprocess.Popen(
        [*COMMAND, "verify", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment(**variables),
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline() + process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(DEADLINE_S) == 130
    report = json.loads(first + rest)
    assert (report["ok"], report["complete"]) == (None, False)
