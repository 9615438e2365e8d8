"""The README's commands run in order and give the printed answers.

http/test_api_docs.py runs them, and then those of docs/api.md beside the same registry.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from indexer.pages.home_html import FIRST_PACKAGE
from tests.stack import eventually

README = Path(__file__).parent.parent / "README.md"
STOP_DEADLINE_S = 10


def blocks() -> list[tuple[str, str]]:
    """Each fenced block with its language."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)


@pytest_asyncio.fixture
async def address(tmp_path: Path) -> AsyncIterator[str]:
    """The address of an `x07-registry up` whose data is in tmp_path/data."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [sys.executable, "-m", "deploy.cli", "up", "--bind", address, "--data-dir", "data"]
    log = (tmp_path / "up.log").open("wb")
    environment = {**os.environ, "PYTHONPATH": str(README.parent)}
    process = await asyncio.create_subprocess_exec(
        *command, cwd=tmp_path, stdout=log, stderr=log, env=environment
    )
    try:
        await eventually(lambda: _is_up(tmp_path / "up.log"), deadline_s=60)
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), STOP_DEADLINE_S)
        log.close()


async def _is_up(log: Path) -> bool:
    return "listens on" in log.read_text()


def test_the_home_page_shows_the_readmes_first_package() -> None:
    """The home page of a registry without packages has the same commands."""
    assert FIRST_PACKAGE in README.read_text()


async def follow_readme(address: str, tmp_path: Path) -> None:
    """Run the README's commands in this folder as printed, at this address, and compare their answers."""
    command = tmp_path / ".venv/bin/x07-registry"
    command.parent.mkdir(parents=True)
    command.symlink_to(Path(sys.executable).parent / "x07-registry")
    shown = blocks()
    for position, (language, text) in enumerate(shown):
        if language != "sh":
            continue
        output = await shell(text.replace("127.0.0.1:8080", address), tmp_path)
        expected = shown[position + 1][1] if shown[position + 1][0] != "sh" else ""
        for line in filter(None, expected.splitlines()):
            assert re.search(as_pattern(line), output), f"{line!r} is not in:\n{output}"


def as_pattern(line: str) -> str:
    """A printed line as a regular expression, in which `…` matches anything."""
    return ".*".join(map(re.escape, line.split("…")))


async def shell(text: str, directory: Path) -> str:
    """The output of commands, which must succeed."""
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-euo",
        "pipefail",
        "-c",
        text,
        cwd=directory,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode(errors="replace")
    return output.decode(errors="replace")
