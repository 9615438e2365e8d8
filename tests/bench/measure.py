"""Shared by the benchmarks: percentiles, simultaneous publishers, tables."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.archives import build_archive, hello_manifest, listed_files

ARCHIVE_BYTES = 24 * 1024
TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of single operations, and of all of them together."""

    each_s: list[float]
    wall_s: float

    @property
    def p50_ms(self) -> float:
        """Median, milliseconds."""
        return statistics.median(self.each_s) * 1000

    @property
    def p95_ms(self) -> float:
        """95th percentile, milliseconds."""
        return self.percentile_ms(95)

    def percentile_ms(self, percent: int) -> float:
        """A percentile (nearest rank), milliseconds."""
        ordered = sorted(self.each_s)
        return ordered[-(-percent * len(ordered) // 100) - 1] * 1000

    @property
    def per_second(self) -> float:
        """Operations per second."""
        return len(self.each_s) / self.wall_s


def better(runs: Iterable[Times]) -> Times:
    """The run with the lower median, because other work on the machine only adds time."""
    return min(runs, key=lambda run: run.p50_ms)


def timed(work: Iterable[Callable[[], object]]) -> Times:
    """Time one operation after another."""
    each: list[float] = []
    began = time.perf_counter()
    for do in work:
        start = time.perf_counter()
        do()
        each.append(time.perf_counter() - start)
    return Times(each, time.perf_counter() - began)


def timed_at_once(publishers: Sequence[Iterable[Callable[[], object]]]) -> Times:
    """Time publishers that work simultaneously, each on its own list."""
    gate = threading.Barrier(len(publishers))

    def run(work: Iterable[Callable[[], object]]) -> Times:
        gate.wait()
        return timed(work)

    with ThreadPoolExecutor(len(publishers)) as threads:
        began = time.perf_counter()
        runs = list(threads.map(run, publishers))
        wall_s = time.perf_counter() - began
    return Times([seconds for run in runs for seconds in run.each_s], wall_s)


class Client:
    """One kept-alive connection with as little overhead as Python permits."""

    def __init__(self, address: str) -> None:
        """address: host:port."""
        self._connection = HTTPConnection(address, timeout=TIMEOUT_S)

    def call(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Callable[[str], str | None], bytes]:
        """Status, headers by name, and the whole body."""
        self._connection.request(method, path, body, headers or {})
        response = self._connection.getresponse()
        return response.status, response.getheader, response.read()

    def require(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[Callable[[str], str | None], bytes]:
        """Headers and body of a call that must succeed. Raises RuntimeError with the server's answer."""
        status, header, answer = self.call(method, path, body, headers)
        if not 200 <= status < 300:
            raise RuntimeError(f"{method} {path}: {status} {answer[:300]!r}")
        return header, answer

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def archive_of(name: str, version: str = "0.1.0", size_bytes: int = ARCHIVE_BYTES) -> bytes:
    """A publishable archive of this size, padded with bytes that do not compress."""
    manifest = hello_manifest(name, version)
    without = len(build_archive(manifest, {**listed_files(manifest), "data/filling": b""}))
    filling = os.urandom(max(0, size_bytes - without) // 512 * 512)
    return build_archive(manifest, {**listed_files(manifest), "data/filling": filling})


def json_body(value: Any) -> bytes:
    """A request body."""
    return json.dumps(value).encode()


def machine(directory: Path | None = None) -> str:
    """Cores, processor, kernel and the file system of the data."""
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{os.cpu_count()} cores ({_processor()}), Linux {platform.release()}, "
        f"{_file_system(directory or Path(gettempdir()))}, Python {platform.python_version()}, load {load}"
    )


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown")


def _file_system(directory: Path) -> str:
    command = ["df", "--output=fstype,source", directory]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return " on ".join(lines.splitlines()[-1].split())


def print_table(
    title: str, program: str, columns: Sequence[str], rows: Iterable[Sequence[str]], notes: Sequence[str] = ()
) -> None:
    """Print a table with what is needed to judge and repeat it."""
    console = Console(width=None if Console().is_terminal else 118)
    table = Table(title=title, title_justify="left")
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place == 0 else "right")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    for note in notes:
        console.print(f"- {note}", highlight=False, markup=False)
    console.print(f"machine: {machine()}", highlight=False, markup=False)
    console.print(
        f"measured {datetime.now(UTC):%Y-%m-%d %H:%M} UTC; again: python -m tests.bench {program}\n"
    )
