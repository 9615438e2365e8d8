"""`x07-registry export`: a mirror of the published tree as plain files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.options import AsJson

if TYPE_CHECKING:
    from shared.settings import Settings

Directory = Annotated[Path, typer.Argument(metavar="DIR", help="The mirror; made when it is not there.")]
BaseUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL", help="Where DIR will be served.", show_default="file:// and the absolute path of DIR"
    ),
]
Deep = Annotated[bool, typer.Option("--deep", help="Hash again what the mirror has already.")]
Prune = Annotated[bool, typer.Option("--prune", help="Remove from DIR what the registry has no more.")]


def export(
    directory: Directory,
    base_url: BaseUrl = None,
    deep: Deep = False,
    prune: Prune = False,
    as_json: AsJson = False,
) -> None:
    """Copy the index and every archive to DIR, checking each checksum (docs/mirror.md).

    Needs storage only. What DIR has already is kept, so it may be stopped, started again, and run every
    night. Exits with 1 when a file of the registry is missing or wrong.
    """
    from deploy.cli.stoppable import run_stoppable
    from shared.settings import load_settings
    from shared.telemetry import configure_logging

    settings = load_settings()
    configure_logging(settings)
    root = directory.absolute()
    dl = f"{(base_url or root.as_uri()).rstrip('/')}/dl/"
    problems = run_stoppable(lambda: _export(settings, root, dl, deep, prune, as_json))
    raise typer.Exit(1 if problems else 0)


async def _export(settings: Settings, root: Path, dl: str, deep: bool, prune: bool, as_json: bool) -> int:
    """How many problems there were; each is told."""
    from contextlib import AsyncExitStack
    from dataclasses import asdict

    from deploy.cli.findings import Findings
    from deploy.cli.progress import open_walk
    from indexer.config import render_config
    from indexer.export import Export
    from shared.storage import open_storage

    problems = 0
    async with AsyncExitStack() as stack:
        storage = await open_storage(settings)
        stack.push_async_callback(storage.close)
        progress = stack.enter_context(open_walk())
        findings = stack.enter_context(Findings("export", as_json=as_json))
        run = Export(storage, root, render_config(settings, dl=dl), progress, deep=deep)
        stack.push_async_callback(run.close)
        async for problem in run.run():
            findings.add(f"wrong  {problem.key}: {problem.detail}", key=problem.key, detail=problem.detail)
            problems += 1
        if prune:
            await run.prune()
        done = run.copied
        text = f"{done.files} files copied ({done.size_bytes} bytes), {done.kept} kept, {problems} wrong"
        findings.end(problems == 0, text, **asdict(done), wrong=problems)
    return problems
