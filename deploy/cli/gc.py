"""`x07-registry gc`: removes staged archives that nothing refers to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.options import AsJson
from shared.text import counted

if TYPE_CHECKING:
    from shared.settings import Settings

OlderThan = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        min=0,
        help="Keep younger ones.",
        show_default="X07_REGISTRY_STAGING_KEEP_SECONDS, or a day",
    ),
]


def gc(older_than: OlderThan = None, as_json: AsJson = False) -> None:
    """Remove staged archives that no version waits for, and uploads of killed processes on this machine.

    Never removes an archive that a version refers to, even while publishes run. Unfinished uploads are kept
    for at least an hour. May be stopped and started again.
    """
    from deploy.cli.settings import command_settings
    from deploy.cli.stoppable import run_stoppable

    settings = command_settings()
    older_than_s = settings.staging_keep_seconds if older_than is None else older_than
    run_stoppable(lambda: _collect(settings, older_than_s, as_json))


async def _collect(settings: Settings, older_than_s: float, as_json: bool) -> None:
    """Collect and print each removed blob."""
    from deploy.cli.findings import Findings
    from deploy.cli.progress import open_walk
    from indexer.upkeep.staging_gc import MIN_UNFINISHED_S, collect_staging, remove_unfinished
    from worker.process import open_parts

    blobs = size_bytes = 0
    async with open_parts(settings) as parts:
        with open_walk() as progress, Findings("gc", as_json=as_json) as findings:
            progress.begin("staged archives")
            async for collected in collect_staging(parts, older_than_s):
                progress.advance()
                if collected is None:
                    continue
                findings.add(f"removed  {collected.key}", key=collected.key, size_bytes=collected.size_bytes)
                blobs, size_bytes = blobs + 1, size_bytes + collected.size_bytes
            files = await remove_unfinished(settings, max(older_than_s, MIN_UNFINISHED_S))
            findings.end(
                True,
                f"{counted(blobs, 'staged archive')} ({counted(size_bytes, 'byte')}) and "
                f"{counted(files, 'unfinished upload')} removed",
                staged=blobs,
                size_bytes=size_bytes,
                unfinished=files,
            )
