"""Follows a page of docs/ like its reader: its commands in order, exactly as written.

Only values that name a place on the reader's machines are replaced: addresses and folders.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.deploy.forked_commands import Answer, Forked, run
from tests.docs_tables import DOCS
from tests.faults.cluster import Kind, Process

SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
BIND = re.compile(r"(?:0\.0\.0\.0|127\.0\.0\.1):\d+")
CAPTURE = re.compile(r"(\w+)=\$\((.+)\)")
PROGRAM = "x07-registry"
CURL_S = 30.0


class Guide:
    """A page with commands. left: its sections that no step has used."""

    def __init__(
        self,
        page: str,
        variables: Mapping[str, str],
        directory: Path,
        places: Mapping[str, str] | None = None,
        **exported: str,
    ) -> None:
        """variables: the only settings of our commands. directory: for the logs of servers.

        places: texts of the page that name places, and the places here. exported: for other commands.
        """
        self.variables = dict(variables)
        self.places = dict(places or {})
        self._directory = directory
        self._exported = {**os.environ, **exported}
        _, *parts = SECTION.split((DOCS / page).read_text())
        self._blocks: defaultdict[tuple[str, str], str] = defaultdict(str)
        for title, text in zip(parts[::2], parts[1::2], strict=True):
            for language, block in BLOCK.findall(text):
                self._blocks[title, language] += block
        self._processes: list[Process] = []

    def commands(self, title: str) -> list[str]:
        """The shell lines of a section, which are then used up."""
        return self._blocks.pop((title, "sh")).replace("\\\n", " ").splitlines()

    def statements(self, title: str) -> str:
        """The SQL of a section, which is then used up."""
        return self._blocks.pop((title, "sql"))

    @property
    def left(self) -> list[str]:
        """The titles of sections that no step has used."""
        return [title for title, _ in self._blocks]

    async def follow(self, lines: Iterable[str]) -> list[Answer]:
        """Run lines in order, to the end of each: our commands, other commands, and `NAME=$(…)`."""
        return [await self._perform(line) for line in lines]

    def _here(self, line: str) -> str:
        """The line with the places of this test."""
        for name, place in self.places.items():
            line = line.replace(name, place)
        return line

    async def _perform(self, line: str) -> Answer:
        line = self._here(line)
        if captured := CAPTURE.fullmatch(line):
            answer = await self.run(captured[2])
            self._exported[captured[1]] = answer.stdout.strip()
            return answer
        if line.startswith(PROGRAM):
            return await self.run(line)
        return Answer(0, await shell(line, self._exported), "")

    async def run(self, line: str) -> Answer:
        """Run a command of this program to its end."""
        return await asyncio.to_thread(run, *_arguments(line), **self.variables)

    async def report(self, line: str) -> tuple[int, Any]:
        """Run a command with a report. Returns its exit status, text and JSON."""
        answer = await self.run(f"{line} --json")
        return answer.returncode, json.loads(answer.stdout)

    def begin(self, line: str) -> Forked:
        """Start a command that runs until it is stopped."""
        arguments = _arguments(self._here(line))
        return Forked(arguments, self.variables, self._directory / f"{arguments[0]}.log")

    async def start(self, line: str) -> Process:
        """Start a server and wait until it listens."""
        arguments = _arguments(self._here(BIND.sub("127.0.0.1:0", line)))
        kind: Kind = "worker" if arguments[0] == "worker" else arguments[1]
        log = self._directory / f"{kind}.log"
        log.touch()
        process = Process(kind, Forked(arguments, self.variables, log), log)
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
    program, *arguments = shlex.split(line.partition("|")[0], comments=True)
    assert program == PROGRAM, line
    return arguments


async def shell(line: str, exported: Mapping[str, str] | None = None, **places: str) -> str:
    """The output of a line that is not one of our commands. places: addresses by their names in the guide."""
    for name, url in places.items():
        line = line.replace(f"https://{name}.example", url)
    process = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", line, stdout=asyncio.subprocess.PIPE, env=exported
    )
    said, _ = await asyncio.wait_for(process.communicate(), CURL_S)
    assert process.returncode == 0, line
    return said.decode()
