"""How far a command is: a spinner or a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from deploy.local.up import Progress, Running

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID
    from rich.status import Status

PLAIN_PAUSE_S = 10.0

RUNNING = """\
x07-registry listens on {url}  (started in {seconds:.1f} s)

  data         {data_dir}
  admin token  {token_path}

Publish an archive, read its index file, ask again with the ETag:

  curl -H "authorization: Bearer $(cat {quoted_token_path})" \\
       -H 'content-type: application/octet-stream' \\
       --data-binary @hello-0.1.0.tar {url}/v1/packages/publish
  curl -i {url}/index/he/ll/hello
  curl -i -H 'if-none-match: "…"' {url}/index/he/ll/hello

Stop with Ctrl-C."""


class PlainProgress:
    """Lines on stdout."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def step(self, text: str) -> None:
        """Tell what is being done now."""
        print(text, flush=True)

    def running(self, running: Running) -> None:
        """Tell that it runs, where, and what to try next."""
        message = RUNNING.format(
            url=running.url,
            seconds=time.monotonic() - self._began,
            data_dir=running.data_dir,
            token_path=running.token_path,
            quoted_token_path=shlex.quote(str(running.token_path)),
        )
        print(message, flush=True)


class TerminalProgress(PlainProgress):
    """A spinner beside the step being done."""

    def __init__(self, status: Status) -> None:
        super().__init__()
        self._status = status

    def step(self, text: str) -> None:
        """Tell what is being done now."""
        self._status.update(text)
        self._status.start()

    def running(self, running: Running) -> None:
        """Tell that it runs, where, and what to try next."""
        self._status.stop()
        super().running(running)


@contextmanager
def open_progress() -> Iterator[Progress]:
    """Progress for wherever stdout goes."""
    if not sys.stdout.isatty():
        yield PlainProgress()
        return
    from rich.console import Console

    with Console().status("starting") as status:
        yield TerminalProgress(status)


class PlainWalk:
    """How far a walk over many things is: a line on stderr now and then."""

    def __init__(self) -> None:
        self._what, self._total, self._done = "", 0, 0
        self._told_at = time.monotonic()

    def begin(self, what: str, total: int | None = None) -> None:
        """A part of the walk begins."""
        self._what, self._total, self._done = what, total or 0, 0

    def advance(self, count: int = 1) -> None:
        """So many more are done."""
        self._done += count
        if time.monotonic() - self._told_at >= PLAIN_PAUSE_S:
            self._told_at = time.monotonic()
            total = f" of {self._total}" if self._total else ""
            print(f"{self._what}: {self._done}{total}", file=sys.stderr, flush=True)


class TerminalWalk:
    """A bar for each part of the walk."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._task: TaskID | None = None

    def begin(self, what: str, total: int | None = None) -> None:
        """A part of the walk begins; the last one is over."""
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._task = self._bars.add_task(what, total=total)

    def advance(self, count: int = 1) -> None:
        """So many more are done."""
        if self._task is not None:
            self._bars.advance(self._task, count)


@contextmanager
def open_walk() -> Iterator[PlainWalk | TerminalWalk]:
    """Progress of a walk for wherever stderr goes; stdout is for what is found."""
    if not sys.stderr.isatty():
        yield PlainWalk()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield TerminalWalk(bars)
