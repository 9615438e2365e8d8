"""What `x07-registry up` tells a person: a spinner on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from deploy.local.up import Progress, Running

if TYPE_CHECKING:
    from rich.status import Status

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
