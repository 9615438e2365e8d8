"""Shows a command's progress: as lines, or for long walks on a terminal as a bar."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from deploy.local.up import Running

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

PLAIN_PAUSE_S = 10.0

RUNNING = """\
x07-registry listens on {address}  (started in {seconds:.1f} s)

  data         {data_dir}
  admin token  {token_path}
  downloads    {public_base}{hint}

Publish an archive, read its index file, ask again with the ETag:

  curl -H "authorization: Bearer $(cat {quoted_token_path})" \\
       -H 'content-type: application/octet-stream' \\
       --data-binary @hello.tar {url}/v1/packages/publish
  curl -i {url}/index/he/ll/hello
  curl -i -H 'if-none-match: "…"' {url}/index/he/ll/hello

Stop with Ctrl-C."""

PUBLIC_BASE_HINT = """
               (what clients on other machines are sent to: set X07_REGISTRY_PUBLIC_BASE to the URL by which
               they reach this one)"""


class PrintedProgress:
    """Lines on stdout, on a terminal too: the parts log too, and would disturb a spinner."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def step(self, text: str) -> None:
        """Show the step that begins now."""
        print(text, flush=True)

    def running(self, running: Running) -> None:
        """Show the registry's addresses and the next steps."""
        message = RUNNING.format(
            address=running.address,
            url=running.url,
            seconds=time.monotonic() - self._began,
            data_dir=running.data_dir,
            public_base=running.public_base,
            hint=PUBLIC_BASE_HINT if running.is_open else "",
            token_path=running.token_path,
            quoted_token_path=shlex.quote(str(running.token_path)),
        )
        print(message, flush=True)


class PlainWalk:
    """The progress of a walk over many items: a line on stderr from time to time."""

    def __init__(self) -> None:
        self._what, self._total, self._done = "", 0, 0
        self._began = self._told_at = time.monotonic()

    def begin(self, what: str, total: int | None = None) -> None:
        """Begin a part of the walk."""
        self._what, self._total, self._done = what, total or 0, 0
        self._began = time.monotonic()

    def advance(self, count: int = 1) -> None:
        """Count more items as done."""
        self._done += count
        if time.monotonic() - self._told_at >= PLAIN_PAUSE_S:
            self._told_at = time.monotonic()
            print(self._line(self._told_at - self._began), file=sys.stderr, flush=True)

    def _line(self, passed_s: float) -> str:
        """The number of items done, the rate and, if the total is known, the remaining time."""
        rate = self._done / max(passed_s, 0.001)
        if not self._total:
            return f"{self._what}: {self._done}, {rate:.0f}/s"
        left_s = max(self._total - self._done, 0) / rate
        return f"{self._what}: {self._done} of {self._total}, {rate:.0f}/s, {left_s:.0f} s left"


class TerminalWalk:
    """A bar for each part of the walk."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._task: TaskID | None = None

    def begin(self, what: str, total: int | None = None) -> None:
        """Begin a part of the walk and end the last one."""
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._task = self._bars.add_task(what, total=total, rate="")

    def advance(self, count: int = 1) -> None:
        """Count more items as done."""
        if self._task is not None:
            self._bars.advance(self._task, count)
            speed = self._bars.tasks[-1].speed
            self._bars.update(self._task, rate="" if speed is None else f"{speed:.0f}/s")


@contextmanager
def open_walk() -> Iterator[PlainWalk | TerminalWalk]:
    """Choose the kind of progress for stderr; findings go to stdout."""
    if not sys.stderr.isatty():
        yield PlainWalk()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    parts = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    times = (TextColumn("{task.fields[rate]}"), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*parts, *times, console=Console(stderr=True), transient=True) as bars:
        yield TerminalWalk(bars)
