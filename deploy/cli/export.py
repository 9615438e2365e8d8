"""`x07-registry export`: copies the published tree into a mirror of plain files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.mirror_folder import BaseUrl, Directory, alone_in, archives_url
from deploy.cli.options import AsJson
from shared.text import counted

if TYPE_CHECKING:
    from shared.settings import Settings

Deep = Annotated[bool, typer.Option("--deep", help="Hash the files again that the mirror already has.")]
Prune = Annotated[bool, typer.Option("--prune", help="Remove from DIR what the registry no longer has.")]


def export(
    directory: Directory,
    base_url: BaseUrl = None,
    deep: Deep = False,
    prune: Prune = False,
    as_json: AsJson = False,
) -> None:
    """Copy the index and every archive to DIR, checking each checksum (docs/mirror.md).

    Needs storage only. Files that DIR already has are kept, so the command may be stopped, started again, and
    run every night. Exits with 1 if a file of the registry is missing or wrong.
    """
    from deploy.cli.settings import command_settings
    from deploy.cli.stoppable import run_stoppable

    settings = command_settings()
    root = directory.absolute()
    _require_apart(root, settings)
    dl = archives_url(root, base_url)
    with alone_in(root):
        problems = run_stoppable(lambda: _export(settings, root, dl, deep, prune, as_json))
    raise typer.Exit(1 if problems else 0)


def _require_apart(root: Path, settings: Settings) -> None:
    """Refuse a mirror in, at or around the live tree, because readers would get the mirror's config.json."""
    live, mirror = settings.data_dir.resolve(), root.resolve()
    if settings.stores_files and (live.is_relative_to(mirror) or mirror.is_relative_to(live)):
        reason = f"{root} overlaps the registry's own tree, {live} (X07_REGISTRY_DATA_DIR)"
        raise typer.BadParameter(reason, param_hint="DIR")


async def _export(settings: Settings, root: Path, dl: str, deep: bool, prune: bool, as_json: bool) -> int:
    """Export and print every problem. Returns their number."""
    from contextlib import AsyncExitStack
    from dataclasses import asdict

    from deploy.cli.findings import Findings
    from deploy.cli.log_source import refusing
    from deploy.cli.progress import open_walk
    from indexer.config import published_log
    from indexer.upkeep.export import Export
    from shared.storage.opening import open_storage

    problems = 0
    async with AsyncExitStack() as stack:
        storage = await open_storage(settings)
        stack.push_async_callback(storage.close)
        progress = stack.enter_context(open_walk())
        findings = stack.enter_context(Findings("export", as_json=as_json))
        with refusing():
            log = await published_log(storage)
        vkey = log.vkey if log is not None else None
        config = _config_of(settings, dl, vkey)
        private = settings.private_namespaces
        run = Export(storage, root, config, progress, deep=deep, vkey=vkey, private=private)
        stack.push_async_callback(run.close)
        async for problem in run.run():
            findings.add(f"wrong  {problem.key}: {problem.detail}", key=problem.key, detail=problem.detail)
            problems += 1
        if prune:
            await run.prune()
        done = run.copied
        removed = f", {done.removed} removed" if prune else ""
        size = counted(done.size_bytes, "byte")
        copied = f"{counted(done.files, 'file')} copied ({size}), {done.kept} kept"
        text = f"{copied}{removed}, {problems} wrong"
        findings.end(problems == 0, text, **asdict(done), wrong=problems)
    return problems


def _config_of(settings: Settings, dl: str, vkey: str | None) -> bytes:
    """The mirror's config.json. dl: URL of its archives. vkey: of its log; None: it has no log."""
    from indexer.config import LogConfig, render_config

    log = LogConfig(url=f"{dl.removesuffix('dl/')}log/", vkey=vkey) if vkey is not None else None
    return render_config(settings, dl=dl, log=log)
