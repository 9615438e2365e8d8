"""`x07-registry rebuild-from-tree`: rows from what is published, when the database is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from deploy.cli.options import AsJson

if TYPE_CHECKING:
    from shared.settings import Settings


def rebuild_from_tree(as_json: AsJson = False) -> None:
    """Put back a row for every version that the published tree lists and the database does not have.

    For a migrated database that is empty, or older than storage; run it before any worker (docs/backup.md).
    Packages come back without owners: an administrator gives them back. What could not be put back as it
    was is told, and the exit status is then 1. May be stopped and started again.
    """
    from deploy.cli.stoppable import run_stoppable
    from shared.settings import load_settings
    from shared.telemetry import configure_logging

    settings = load_settings()
    configure_logging(settings)
    remarks = run_stoppable(lambda: _rebuild(settings, as_json))
    raise typer.Exit(1 if remarks else 0)


async def _rebuild(settings: Settings, as_json: bool) -> int:
    """How many remarks there were; each is told."""
    from deploy.cli.findings import Findings
    from deploy.cli.progress import open_walk
    from indexer.rebuilding import rebuild
    from worker.settings import open_parts

    remarks = 0
    async with open_parts(settings) as parts:
        with open_walk() as progress, Findings("rebuild-from-tree", as_json=as_json) as findings:
            async for remark in rebuild(parts, progress):
                release = " ".join(filter(None, (remark.package, remark.version)))
                fields = {"package": remark.package, "version": remark.version, "detail": remark.detail}
                findings.add(f"{release}: {remark.detail}", **fields)
                remarks += 1
            text = f"rows put back; {remarks} remarks"
            findings.end(remarks == 0, text, remarks=remarks)
    return remarks
