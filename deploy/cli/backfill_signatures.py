"""`x07-registry backfill-signatures`, and the older server's name for it: `x07-registry-admin`."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated, Final

import typer

USAGE: Final = """\
usage: x07-registry-admin backfill-pkg-signatures [--write]

Signs published versions that have no signature. Without --write it only says how many there are.
Settings are those of the server: environment variables, X07_REGISTRY_…."""
EXIT_USAGE: Final = 2
LEGACY_COMMAND: Final = "backfill-pkg-signatures"

Write = Annotated[bool, typer.Option("--write", help="Sign; without it nothing is changed.")]


def backfill_signatures(write: Write = False) -> None:
    """Sign published versions that have no signature; without --write, say how many there are.

    Prints a JSON report. Exits with 2 if signing is not configured, with 1 if it fails on the way; run
    again, it goes on with what is left.
    """
    sys.exit(_run(write=write))


def legacy_main() -> None:
    """`x07-registry-admin`: the older server's command line, its usage and exit statuses (contract, 9).

    As there, it runs pending migrations too.
    """
    from deploy.cli.app import told

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
    with told():
        sys.exit(_run(write=bool(flags), migrate_first=True))


def _usage(status: int, message: str | None = None) -> int:
    print(*(filter(None, (message, USAGE))), sep="\n", file=sys.stderr)
    return status


def _run(*, write: bool, migrate_first: bool = False) -> int:
    """Run the backfill and print its report; the exit status."""
    from deploy.cli.progress import open_walk
    from deploy.signature_backfill import render_report, report_backfill
    from shared.settings import load_settings
    from shared.telemetry import configure_logging

    settings = load_settings()
    configure_logging(settings)
    with open_walk() as progress:
        backfill = report_backfill(settings, write=write, migrate_first=migrate_first, progress=progress)
        report, status = asyncio.run(backfill)
    print(render_report(report))
    return status
