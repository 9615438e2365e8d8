"""Follows docs/adoption.md like its reader: its commands in order, each once, exactly as written.

Only values that name another machine are replaced: addresses.
"""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.deploy.forked_commands import Answer, Forked, run
from tests.docs_tables import DOCS
from tests.faults.cluster import Kind, Process

SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
BIND = re.compile(r"0\.0\.0\.0:\d+")
PROGRAM = "x07-registry"
CURL_S = 30.0


class Guide:
    """The guide. variables: the environment of each command. directory: for the logs of servers."""

    def __init__(self, variables: Mapping[str, str], directory: Path) -> None:
        self._variables = dict(variables)
        self._directory = directory
        _, *parts = SECTION.split((DOCS / "adoption.md").read_text())
        self._blocks: defaultdict[tuple[str, str], str] = defaultdict(str)
        for title, text in zip(parts[::2], parts[1::2], strict=True):
            for language, block in BLOCK.findall(text):
                self._blocks[title, language] += block
        self._processes: list[Process] = []

    def commands(self, title: str) -> list[str]:
        """The shell lines of a section, which are then used up."""
        return self._blocks.pop((title, "sh")).splitlines()

    def statements(self, title: str) -> str:
        """The SQL of a section, which is then used up."""
        return self._blocks.pop((title, "sql"))

    @property
    def left(self) -> list[str]:
        """The sections that no step has used."""
        return list(self._blocks.values())

    async def run(self, line: str) -> Answer:
        """Run a command of this program to its end."""
        return await asyncio.to_thread(run, *_arguments(line), **self._variables)

    async def report(self, line: str) -> tuple[int, Any]:
        """Run a command with a report. Returns its exit status, text and JSON."""
        answer = await self.run(f"{line} --json")
        return answer.returncode, json.loads(answer.stdout)

    async def start(self, line: str) -> Process:
        """Start a server and wait until it listens."""
        arguments = _arguments(BIND.sub("127.0.0.1:0", line))
        kind: Kind = "worker" if arguments[0] == "worker" else arguments[1]
        log = self._directory / f"{kind}.log"
        log.touch()
        process = Process(kind, Forked(arguments, self._variables, log), log)
        self._processes.append(process)
        if kind != "worker":
            await process.until_listening()
        return process

    async def close(self) -> None:
        """End the processes that still run."""
        for process in self._processes:
            await process.close()


def _arguments(line: str) -> list[str]:
    """The arguments of one of our commands; the caller handles a pipe after it."""
    program, *arguments = shlex.split(line.partition("|")[0])
    assert program == PROGRAM, line
    return arguments


async def shell(line: str, **places: str) -> str:
    """The output of a line that is not one of our commands. places: addresses by their names in the guide."""
    for name, url in places.items():
        line = line.replace(f"https://{name}.example", url)
    process = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", line, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await asyncio.wait_for(process.communicate(), CURL_S)
    assert process.returncode == 0, line
    return said.decode()
