"""`x07-registry mirror`: mirrors somebody else's registry over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from deploy.cli.mirror_folder import BaseUrl, Directory, alone_in, archives_url
from deploy.cli.options import AsJson, TokenFile, checked_vkey, print_json, printable, read_token
from shared.text import counted

if TYPE_CHECKING:
    from indexer.mirror.package import Complaint
    from indexer.mirror.run import Mirror, Wishes

EXIT_FORK = 3


def parse_origin(text: str) -> str:
    """The address of a registry, with a slash at its end. The address of its index is accepted too."""
    base = text.removeprefix("sparse+").rstrip("/").removesuffix("/index")
    parts = urlsplit(base)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise typer.BadParameter("it must be an absolute http:// or https:// URL")
    return f"{base}/"


Url = Annotated[
    str, typer.Argument(metavar="URL", parser=parse_origin, help="The registry, or a mirror of it.")
]
Vkey = Annotated[
    str | None,
    typer.Option(
        metavar="KEY",
        help="Key that must have signed the log.",
        show_default="the key that config.json names at the first run",
        callback=checked_vkey,
    ),
]
Follow = Annotated[bool, typer.Option("--follow", help="Keep running until stopped, a few seconds behind.")]
Every = Annotated[
    float, typer.Option(min=0.1, metavar="SECONDS", help="With --follow: time between two checks.")
]
Globs = Annotated[
    list[str] | None,
    typer.Option(
        "--packages",
        metavar="GLOB",
        help="Packages to mirror; may be repeated.",
        show_default="those of the last run, or *",
    ),
]
Jobs = Annotated[int, typer.Option(min=1, max=256, help="Requests at a time.")]
Rate = Annotated[float, typer.Option(min=0, metavar="NUMBER", help="Most requests per second; 0: no limit.")]
Deep = Annotated[bool, typer.Option("--deep", help="Compare every index file and hash every archive again.")]


def mirror(
    url: Url,
    directory: Directory,
    vkey: Vkey = None,
    follow: Follow = False,
    every: Every = 1.0,
    packages: Globs = None,
    base_url: BaseUrl = None,
    jobs: Jobs = 16,
    rate: Rate = 500.0,
    deep: Deep = False,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Mirror a registry from its public address to DIR, verified by its log (docs/mirror.md).

    The first run copies everything, later runs only new entries of the log. May be stopped and started again.
    Exits with 1 if something at the origin is wrong, 3 if its log was rolled back or has forked.
    """
    from deploy.cli.stoppable import run_stoppable
    from indexer.mirror.run import Wishes

    if follow and deep:
        raise typer.BadParameter("give either --follow or --deep", param_hint="--deep")
    root = directory.absolute()
    token = read_token(token_file)
    _require_no_registry(root)
    wishes = Wishes(archives_url(root, base_url), vkey, tuple(packages or ()), jobs, deep)
    with alone_in(root), _refusing():
        if follow:
            run_stoppable(lambda: _follow(url, root, wishes, rate, token, every, as_json))
        wrong = run_stoppable(lambda: _run(url, root, wishes, rate, token, as_json))
    raise typer.Exit(1 if wrong else 0)


def _require_no_registry(root: Path) -> None:
    """Refuse a registry's own tree and folders in it, because its readers would get files of the mirror."""
    from shared.blobs import CONFIG_KEY, STAGING_PREFIX

    around = [folder for folder in root.resolve().parents if (folder / CONFIG_KEY).exists()]
    for folder in (root, *around):
        if (folder / STAGING_PREFIX).exists():
            reason = f"{folder} is the tree of a registry; a mirror needs a folder outside it"
            raise typer.BadParameter(reason, param_hint="DIR")


@contextmanager
def _refusing() -> Iterator[None]:
    """Print on one line why nothing more is copied, and exit with status 1, or 3 for a fork."""
    import sys

    from indexer.log.invalid import LogInvalid
    from indexer.mirror.log_copy import Forked

    try:
        yield
    except LogInvalid as error:
        print(printable(f"x07-registry: {error}"), file=sys.stderr)
        raise typer.Exit(1) from None
    except Forked as error:
        print(printable(f"x07-registry: {error}; the evidence is in {error.evidence}"), file=sys.stderr)
        raise typer.Exit(EXIT_FORK) from None


@asynccontextmanager
async def _opened(
    url: str, root: Path, wishes: Wishes, rate: float, token: str | None
) -> AsyncIterator[Mirror]:
    from deploy.cli.progress import open_walk
    from indexer.mirror.origin import Origin
    from indexer.mirror.run import Mirror
    from indexer.upkeep.web import Web

    with open_walk() as progress:
        async with (
            Web.open(wishes.jobs, rate or None, token=token, token_base=url.rstrip("/")) as web,
            Mirror.open(root, Origin(web, url), progress, wishes) as mirror,
        ):
            yield mirror


async def _run(url: str, root: Path, wishes: Wishes, rate: float, token: str | None, as_json: bool) -> int:
    """Update once and print every problem at the origin. Returns their number."""
    from dataclasses import asdict

    from deploy.cli.findings import Findings
    from indexer.log.invalid import LogInvalid
    from indexer.mirror.log_copy import Forked
    from shared.blobs import CHECKPOINT_KEY

    async with _opened(url, root, wishes, rate, token) as mirror:
        with Findings("mirror", as_json=as_json) as findings:
            try:
                complaints = await mirror.run()
            except (Forked, LogInvalid) as error:
                if as_json:
                    findings.add(str(error), key=CHECKPOINT_KEY, detail=str(error))
                raise
            for one in complaints:
                findings.add(_line_of(one), key=one.key, detail=one.detail)
            requests = mirror.packages.origin.web.requests
            findings.end(
                not complaints,
                f"{_summary_of(mirror)}, {len(complaints)} wrong",
                **asdict(mirror.packages.copied),
                requests=requests,
                verified=mirror.is_verified,
                size=mirror.size,
                wrong=len(complaints),
            )
    return len(complaints)


async def _follow(
    url: str, root: Path, wishes: Wishes, rate: float, token: str | None, every_s: float, as_json: bool
) -> None:
    """Update until stopped. Prints a line after each change."""
    import sys
    from dataclasses import asdict

    from shared.errors import StorageUnavailable

    async with _opened(url, root, wishes, rate, token) as mirror:
        async for change in mirror.follow(every_s):
            if isinstance(change, StorageUnavailable):
                print(printable(f"x07-registry: {change.message}"), file=sys.stderr, flush=True)
            elif as_json:
                told = {"verified": mirror.is_verified, "size": mirror.size, "wrong": change}
                print_json({**asdict(mirror.packages.copied), **told})
                sys.stdout.flush()
            else:
                print("\n".join([_summary_of(mirror), *map(_line_of, change)]), flush=True)


def _line_of(complaint: Complaint) -> str:
    return printable(f"wrong  {complaint.key}: {complaint.detail}")


def _summary_of(mirror: Mirror) -> str:
    """The totals so far, as one line."""
    done = mirror.packages.copied
    log_has = f"the log has {counted(mirror.size, 'entry')}"
    vouched = log_has if mirror.is_verified else "unverified: the origin has no log"
    kept = f"{counted(done.kept, 'archive')} kept"
    copied = f"{counted(done.files, 'file')} copied ({counted(done.size_bytes, 'byte')}), {kept}"
    return f"{copied}, {done.removed} removed, {vouched}"
