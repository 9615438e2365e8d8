"""`x07-registry repair`: repairs the differences for which the rows prove what is right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.mirror_folder import open_copies
from deploy.cli.options import After, AsJson, Deep

if TYPE_CHECKING:
    from shared.settings import Settings

Copies = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="DIR",
        exists=True,
        file_okay=False,
        help="A tree with copies of archives (dl/NAME/VERSION/download): a mirror or an old backup.",
    ),
]


def repair(deep: Deep = False, as_json: AsJson = False, after: After = "", copies: Copies = None) -> None:
    """Repair each difference that `verify` reports if the rows prove what is right, and report the others.

    Rendered files are written again. An archive is restored only from bytes with its checksum. No row and no
    archive is ever removed. Exits with 0 if no difference is left, 1 otherwise, 130 if stopped.
    """
    from deploy.cli.settings import command_settings
    from deploy.cli.stoppable import run_stoppable

    settings = command_settings()
    left = run_stoppable(lambda: _repair(settings, deep, as_json, after, copies))
    raise typer.Exit(1 if left else 0)


async def _repair(settings: Settings, deep: bool, as_json: bool, after: str, copies: Path | None) -> int:
    """Repair and print each difference with its outcome. Returns the number that is left."""
    from contextlib import AsyncExitStack

    from deploy.cli.findings import Findings
    from deploy.cli.progress import open_walk
    from deploy.cli.verify import fields_of, line_of
    from indexer.upkeep.repair import Repair
    from indexer.upkeep.verification import Verification
    from worker.process import open_parts

    mended = left = 0
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(open_parts(settings))
        other = await stack.enter_async_context(open_copies(copies))
        with open_walk() as progress, Findings("repair", as_json=as_json) as findings:
            # There may be no running worker, so this command publishes waiting changes.
            verification = Verification(parts, progress, deep, settings.staging_keep_seconds, late_s=0)
            async for outcome in Repair(parts, verification, other).run(after):
                word = "mended" if outcome.is_mended else "left"
                text = f"{word}  {line_of(outcome.difference)}; {outcome.action}"
                fields = fields_of(outcome.difference)
                findings.add(text, **fields, mended=outcome.is_mended, action=outcome.action)
                mended, left = mended + outcome.is_mended, left + (not outcome.is_mended)
            findings.end(left == 0, f"{mended} mended, {left} left", mended=mended, left=left)
    return left
