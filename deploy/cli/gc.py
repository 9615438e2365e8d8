"""`x07-registry gc`: remove staged bytes that nothing refers to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.options import AsJson

if TYPE_CHECKING:
    from shared.settings import Settings

OlderThan = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        min=0,
        help="Leave what is younger.",
        show_default="X07_REGISTRY_STAGING_KEEP_SECONDS, or a day",
    ),
]


def gc(older_than: OlderThan = None, as_json: AsJson = False) -> None:
    """Remove staged archives that no version waits for, and uploads that killed processes left here.

    Never removes what a version refers to, also while publishes run. Unfinished uploads are left for an hour
    in any case. May be stopped and started again.
    """
    from deploy.cli.stoppable import run_stoppable
    from shared.settings import load_settings
    from shared.telemetry import configure_logging

    settings = load_settings()
    configure_logging(settings)
    older_than_s = settings.staging_keep_seconds if older_than is None else older_than
    run_stoppable(lambda: _collect(settings, older_than_s, as_json))


async def _collect(settings: Settings, older_than_s: float, as_json: bool) -> None:
    """Tell each blob that is removed."""
    from deploy.cli.findings import Findings
    from deploy.cli.progress import open_walk
    from indexer.collection import LEAST_UNFINISHED_S, collect_staging, remove_unfinished
    from worker.settings import open_parts

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
            files = await remove_unfinished(settings, max(older_than_s, LEAST_UNFINISHED_S))
            findings.end(
                True,
                f"{blobs} staged archives ({size_bytes} bytes) and {files} unfinished uploads removed",
                staged=blobs,
                size_bytes=size_bytes,
                unfinished=files,
            )
