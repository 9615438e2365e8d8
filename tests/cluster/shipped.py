"""Services of the compose file as local processes, with the image's layout, commands and variables.

Only values that name other machines are replaced: addresses, credentials, ports.
"""

from __future__ import annotations

import itertools
import json
import re
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.deploy.image import ROOT, Image
from tests.deploy.test_deployment_files import SECRET
from tests.stack import eventually

COMPOSE = yaml.safe_load((ROOT / "deploy" / "container" / "compose.yaml").read_text())
START_S = 60.0


def _default(value: str) -> str:
    """The default of a value whose variables are not set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


class Part:
    """One process of a service. operations: its address for operators."""

    def __init__(self, service: str, process: subprocess.Popen[str], log: Path) -> None:
        self.service = service
        self.process = process
        self.log = log
        self.address = self.operations = ""

    async def until_listening(self) -> None:
        """Wait until it prints its address."""
        said = await eventually(self._operations, START_S)
        self.operations = f"http://127.0.0.1:{said['port']}"
        if self.service != "worker":
            self.address = await eventually(self._address, START_S)

    async def _operations(self) -> dict[str, Any] | None:
        lines = [line for line in self.log.read_text().splitlines() if '"operations_listening"' in line]
        assert lines or self.process.poll() is None, self.log.read_text()
        return json.loads(lines[0]) if lines else None

    async def _address(self) -> str | None:
        found = re.search(r"^listening (\S+)$", self.log.read_text(), re.MULTILINE)
        return found[1] if found else None

    async def count(self, metric: str) -> float:
        """The sum of a metric's samples in this process."""
        async with httpx.AsyncClient(timeout=30) as http:
            text = (await http.get(f"{self.operations}/metrics")).text
        lines = [line for line in text.splitlines() if re.match(rf"{metric}[{{ ]", line)]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def stop(self, number: signal.Signals) -> None:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        self.process.wait(30)


class Cluster:
    """Processes started from the compose file. places: values for other machines, by variable."""

    def __init__(self, image: Image, places: Mapping[str, str], directory: Path) -> None:
        self._image = image
        self._places = dict(places)
        self._directory = directory
        self._numbers = itertools.count(1)
        self.parts: list[Part] = []

    def variables(self, service: str) -> dict[str, str]:
        """The variables that the compose file sets for a service, with our places; no other secrets."""
        named = COMPOSE["services"][service]["environment"]
        return {name: self._places.get(name, _default(str(value))) for name, value in named.items()} | {
            name: value
            for name, value in self._places.items()
            if name not in named and SECRET.search(name) is None
        }

    async def start(self, service: str, address: str = "127.0.0.1:0") -> Part:
        """Start one process of a service, and wait until it listens; address: HOST:PORT."""
        log = self._directory / f"{service}-{next(self._numbers)}.log"
        command = [re.sub(r"^0\.0\.0\.0:\d+$", address, word) for word in self._command(service)]
        with log.open("w") as output:
            process = self._image.run(*command, output=output, **self.variables(service))
        part = Part(service, process, log)
        self.parts.append(part)
        await part.until_listening()
        return part

    def run(self, *command: str, service: str = "worker", **overrides: str) -> tuple[int, str]:
        """Run a command with the variables of a service. Returns its status and output."""
        process = self._image.run(self._image.program, *command, **{**self.variables(service), **overrides})
        said, _ = process.communicate(timeout=120)
        return process.returncode, said

    def _command(self, service: str) -> list[str]:
        return [str(self._image.program), *COMPOSE["services"][service]["command"]]

    def close(self) -> None:
        """End the processes that still run."""
        for part in self.parts:
            if part.process.poll() is None:
                part.stop(signal.SIGTERM)
