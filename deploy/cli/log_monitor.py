"""`x07-registry log monitor`: checks the log and then the index, repeatedly."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import typer

from deploy.cli.log_source import open_address, parse_key, refusing
from deploy.cli.options import printable
from deploy.cli.progress import open_walk
from deploy.cli.verify import line_of
from indexer.log.monitoring import Forked, Monitor
from indexer.log.reader import LogReader
from indexer.upkeep.address import Address
from indexer.upkeep.log_verification import LogVerification
from indexer.upkeep.progress import Progress
from shared.errors import StorageUnavailable

EXIT_FORK: Final = 3


@dataclass(slots=True)
class Audit:
    """Compares the index with the log. every_s: time between two comparisons of the whole index."""

    address: Address
    reader: LogReader
    progress: Progress
    every_s: float
    _verification: LogVerification | None = None
    _whole_at: float = 0.0

    async def look(self) -> int:
        """Print every difference on standard error. Returns their number."""
        if self._verification is None or time.monotonic() >= self._whole_at + self.every_s:
            self._whole_at = time.monotonic()
            self._verification = LogVerification(
                self.reader,
                self.address.names,
                self.address.index_file,
                self.address.published_log,
                self.progress,
            )
            differences = self._verification.run()
        else:
            differences = self._verification.run_on()
        count = 0
        async for difference in differences:
            print(printable(f"x07-registry: {line_of(difference)}"), file=sys.stderr)
            count += 1
        return count


async def watch(
    url: str,
    vkey: str,
    state: Path,
    every_s: float | None,
    audit_every_s: float | None,
    token: str | None = None,
) -> None:
    """Check until something is wrong. every_s: None for once. audit_every_s: None for the log only.

    token: for a private registry.
    """
    async with open_address(url, token) as address:
        reader = LogReader(address.log, [parse_key(vkey)])
        monitor = Monitor(reader, state)
        with open_walk() as progress:
            audit = None if audit_every_s is None else Audit(address, reader, progress, audit_every_s)
            while True:
                await _look(monitor, audit, is_last=every_s is None)
                if every_s is None:
                    return
                await asyncio.sleep(every_s)


async def _look(monitor: Monitor, audit: Audit | None, *, is_last: bool) -> None:
    """Check once. An unavailable address is only reported, unless this is the last check."""
    try:
        with refusing():
            await monitor.look(sys.stdout)
            if audit is not None and await audit.look():
                raise typer.Exit(1)
    except Forked as error:
        evidence = f"both checkpoints are beside {monitor.state}"
        print(printable(f"x07-registry: {error}; {evidence}"), file=sys.stderr)
        raise typer.Exit(EXIT_FORK) from None
    except StorageUnavailable as error:
        if is_last:
            raise
        print(f"x07-registry: {error.message}", file=sys.stderr)
