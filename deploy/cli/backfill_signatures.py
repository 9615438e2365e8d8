"""`x07-registry backfill-signatures`, and the older server's name for it: `x07-registry-admin`."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated, Final

import typer

from deploy.cli.failures import reporting_failures

USAGE: Final = """\
usage: x07-registry-admin backfill-pkg-signatures [--write]

Signs published versions that have no signature. Without --write it only counts them.
Settings are those of the server: environment variables, X07_REGISTRY_…."""
EXIT_USAGE: Final = 2
LEGACY_COMMAND: Final = "backfill-pkg-signatures"

Write = Annotated[bool, typer.Option("--write", help="Sign the versions; without it, only count them.")]


def backfill_signatures(write: Write = False) -> None:
    """Sign published versions that have no signature; without --write, count them.

    Prints a JSON report. Exits with 2 if signing is not configured, and with 1 if it fails before the end;
    run it again to continue.
    """
    sys.exit(_run(write=write))


def legacy_main() -> None:
    """`x07-registry-admin`: the older server's command line, its usage and exit statuses (contract, 9).

    Like the older server's, it also runs pending migrations.
    """
    arguments = sys.argv[1:]
    if not arguments:
        sys.exit(_usage(EXIT_USAGE))
    if {"-h", "--help"} & set(arguments):
        sys.exit(_usage(0))
    command, *flags = arguments
    if command != LEGACY_COMMAND:
        sys.exit(_usage(EXIT_USAGE, f"unknown command: {command}"))
    wrong = next((flag for flag in flags if flag != "--write"), None)
    if wrong is not None:
        sys.exit(_usage(EXIT_USAGE, f"unknown flag: {wrong}"))
    with reporting_failures():
        sys.exit(_run(write=bool(flags), migrate_first=True))


def _usage(status: int, message: str | None = None) -> int:
    print(*(filter(None, (message, USAGE))), sep="\n", file=sys.stderr)
    return status


def _run(*, write: bool, migrate_first: bool = False) -> int:
    """Run the backfill and print its report. Returns the exit status."""
    from deploy.cli.progress import open_walk
    from deploy.cli.settings import command_settings
    from deploy.signature_backfill import render_report, report_backfill

    settings = command_settings()
    with open_walk() as progress:
        backfill = report_backfill(settings, write=write, migrate_first=migrate_first, progress=progress)
        report, status = asyncio.run(backfill)
    print(render_report(report))
    return status
