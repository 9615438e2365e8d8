"""`x07-registry reindex`: writes published files again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.options import AsJson, counted

if TYPE_CHECKING:
    from shared.settings import Settings

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME]…", help="Names of packages; all packages if none is given."),
]


def reindex(names: Names = None, as_json: AsJson = False) -> None:
    """Write every file of packages again from the rows, and update search and reverse dependencies.

    Needs no worker, and may run while the registry runs. May be stopped and run again. Exits with 1 if a
    package could not be written.
    """
    from deploy.cli.settings import walk_settings
    from deploy.cli.stoppable import run_stoppable

    settings = walk_settings()
    failures = run_stoppable(lambda: _reindex(settings, names or [], as_json))
    raise typer.Exit(1 if failures else 0)


async def _reindex(settings: Settings, names: list[str], as_json: bool) -> int:
    """Reindex and print each package that failed. Returns their number."""
    from deploy.cli.findings import Findings
    from deploy.cli.progress import open_walk
    from indexer.upkeep.reindex import reindex as write_again
    from worker.process import open_parts

    failures = 0
    async with open_parts(settings) as parts:
        with open_walk() as progress, Findings("reindex", as_json=as_json) as findings:
            async for failed in write_again(parts, names, progress):
                findings.add(
                    f"failed  {failed.package}: {failed.reason}", package=failed.package, reason=failed.reason
                )
                failures += 1
            text = f"{counted(failures, 'package')} failed" if failures else "everything is written"
            findings.end(failures == 0, text, failed=failures)
    return failures
