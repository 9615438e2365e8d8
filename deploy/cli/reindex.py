"""`x07-registry reindex`: writes published files again."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.options import AsJson
from shared.text import counted

if TYPE_CHECKING:
    from indexer.upkeep.reindex import Reindexing
    from shared.settings import Settings

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME]…", help="Names of packages; all packages if none is given."),
]


After = Annotated[
    str, typer.Option(metavar="NAME", help="Write only packages after this name, in byte order.")
]


def reindex(names: Names = None, after: After = "", as_json: AsJson = False) -> None:
    """Write every file of packages again from the rows, and update search and reverse dependencies.

    Needs no worker, and may run while the registry runs. When it is stopped, it tells the option with which
    the next run continues. Exits with 1 if a package could not be written.
    """
    from deploy.cli.settings import command_settings
    from deploy.cli.stoppable import run_stoppable

    if names and after:
        raise typer.BadParameter("give names of packages or --after, not both", param_hint="--after")
    settings = command_settings()
    failures = run_stoppable(lambda: _reindex(settings, names or [], after, as_json))
    raise typer.Exit(1 if failures else 0)


async def _reindex(settings: Settings, names: list[str], after: str, as_json: bool) -> int:
    """Reindex and print each package that failed. Returns their number."""
    from deploy.cli.findings import Findings
    from deploy.cli.progress import open_walk
    from indexer.upkeep.reindex import Reindexing
    from worker.process import open_parts

    failures = 0
    async with open_parts(settings) as parts:
        with open_walk() as progress, Findings("reindex", as_json=as_json) as findings:
            reindexing = Reindexing(parts, progress)
            with _telling_place(reindexing):
                async for failed in reindexing.run(names, after):
                    findings.add(
                        f"failed  {failed.package}: {failed.reason}",
                        package=failed.package,
                        reason=failed.reason,
                    )
                    failures += 1
            text = f"{counted(failures, 'package')} failed" if failures else "everything is written"
            findings.end(failures == 0, text, failed=failures)
    return failures


@contextmanager
def _telling_place(reindexing: Reindexing) -> Iterator[None]:
    """When the command is stopped, say on stderr how to continue it."""
    try:
        yield
    finally:
        if reindexing.written_to and not reindexing.is_complete:
            print(
                f"stopped; continue with: x07-registry reindex --after {reindexing.written_to}",
                file=sys.stderr,
            )
