"""`x07-registry rebuild-from-tree`: restores rows from the published tree after the database was lost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.mirror_folder import open_copies
from deploy.cli.options import AsJson

if TYPE_CHECKING:
    from deploy.cli.findings import Findings
    from indexer.upkeep.restoration import Finding
    from shared.settings import Settings

Mirror = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="MIRROR",
        exists=True,
        file_okay=False,
        help="Another tree, made by `export`: archives that storage lacks are restored from it, and so are "
        "rows that only it lists.",
    ),
]


def rebuild_from_tree(copies: Mirror = None, as_json: AsJson = False) -> None:
    """Restore rows from the published tree where the tree is newer, and print each restored item.

    For a migrated database that is empty, or older than storage (docs/backup.md). Write servers and workers
    may run: they change nothing until the command has ended. Restores versions, yanks, advisories,
    withdrawals and owners. Differences that a person must decide are printed as in doubt, and the exit status
    is then 1. May be stopped and started again.
    """
    from deploy.cli.settings import command_settings
    from deploy.cli.stoppable import run_stoppable

    settings = command_settings()
    in_doubt = run_stoppable(lambda: _rebuild(settings, copies, as_json))
    raise typer.Exit(1 if in_doubt else 0)


async def _rebuild(settings: Settings, copies: Path | None, as_json: bool) -> int:
    """Rebuild and print each finding. Returns the number of findings in doubt."""
    from collections import Counter
    from contextlib import AsyncExitStack

    from deploy.cli.findings import Findings
    from deploy.cli.progress import open_walk
    from indexer.upkeep.rebuild import Rebuild
    from indexer.upkeep.restoration import Thing
    from worker.process import open_parts

    in_doubt, came_back = 0, Counter[Thing]()
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(open_parts(settings))
        mirror = await stack.enter_async_context(open_copies(copies))
        with open_walk() as progress, Findings("rebuild-from-tree", as_json=as_json) as findings:
            async for finding in Rebuild(parts, progress, mirror).run():
                _add(findings, finding)
                in_doubt += not finding.is_back
                came_back[finding.thing] += finding.is_back
            counts = {str(thing): count for thing, count in sorted(came_back.items()) if count}
            text = f"{_summary(counts)}; {in_doubt} in doubt"
            findings.end(in_doubt == 0, text, came_back=counts, in_doubt=in_doubt)
    return in_doubt


def _add(findings: Findings, finding: Finding) -> None:
    state = "came back" if finding.is_back else "in doubt"
    release = " ".join(filter(None, (finding.package, finding.version)))
    findings.add(
        f"{state:<9}  {finding.thing} of {release}: {finding.detail}",
        state=state,
        thing=finding.thing,
        package=finding.package,
        version=finding.version,
        detail=finding.detail,
    )


def _summary(counts: dict[str, int]) -> str:
    """The restored items, counted."""
    things = [f"{count} {thing}{'s' * (count != 1)}" for thing, count in counts.items()]
    return f"{', '.join(things)} came back" if things else "nothing was missing"
