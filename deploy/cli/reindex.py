"""`x07-registry reindex`: write what readers see again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.options import AsJson

if TYPE_CHECKING:
    from shared.settings import Settings

Names = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME]…", help="Packages; all when none is named.")
]


def reindex(names: Names = None, as_json: AsJson = False) -> None:
    """Write every file of packages again from the rows, and what search and dependents say of them.

    Needs no worker; may run beside everything, be stopped and be started again. Exits with 1 when a
    package could not be written.
    """
    from deploy.cli.stoppable import run_stoppable
    from shared.settings import load_settings
    from shared.telemetry import configure_logging

    settings = load_settings()
    configure_logging(settings)
    failures = run_stoppable(lambda: _reindex(settings, names or [], as_json))
    raise typer.Exit(1 if failures else 0)


async def _reindex(settings: Settings, names: list[str], as_json: bool) -> int:
    """How many packages failed; each is told."""
    from deploy.cli.findings import Findings
    from deploy.cli.progress import open_walk
    from indexer.reindexing import reindex as write_again
    from worker.settings import open_parts

    failures = 0
    async with open_parts(settings) as parts:
        with open_walk() as progress, Findings("reindex", as_json=as_json) as findings:
            async for failed in write_again(parts, names, progress):
                findings.add(
                    f"failed  {failed.package}: {failed.reason}", package=failed.package, reason=failed.reason
                )
                failures += 1
            text = f"{failures} packages failed" if failures else "everything is written"
            findings.end(failures == 0, text, failed=failures)
    return failures
