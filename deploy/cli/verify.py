"""`x07-registry verify`: does storage hold what the rows say?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from deploy.cli.options import After, AsJson, Deep

if TYPE_CHECKING:
    from indexer.differences import Difference
    from shared.settings import Settings


def verify(deep: Deep = False, as_json: AsJson = False, after: After = "") -> None:
    """Compare rows and storage, and tell each difference. Nothing is changed.

    Exits with 0 when there is none, 1 when there are, 130 when it is stopped. May run beside everything.
    Without --deep the digest that is stored with a file is believed, if there is one.
    """
    from deploy.cli.stoppable import run_stoppable
    from shared.settings import load_settings
    from shared.telemetry import configure_logging

    settings = load_settings()
    configure_logging(settings)
    count = run_stoppable(lambda: _verify(settings, deep, as_json, after))
    raise typer.Exit(1 if count else 0)


async def _verify(settings: Settings, deep: bool, as_json: bool, after: str) -> int:
    """How many differences there are; each is told."""
    from deploy.cli.findings import Findings
    from deploy.cli.progress import open_walk
    from indexer.verification import Verification
    from worker.settings import open_parts

    count = 0
    async with open_parts(settings) as parts:
        with open_walk() as progress, Findings("verify", as_json=as_json) as findings:
            verification = Verification(parts, progress, deep, settings.staging_keep_seconds)
            async for difference in verification.run(after):
                findings.add(line_of(difference), **fields_of(difference))
                count += 1
            findings.end(count == 0, f"{count} differences" if count else "no difference", differences=count)
    return count


def line_of(difference: Difference) -> str:
    """A difference for people."""
    release = " ".join(filter(None, (difference.package, difference.version)))
    of = f" ({release})" if release else ""
    return f"{difference.kind}  {difference.key}{of}: {difference.detail}"


def fields_of(difference: Difference) -> dict[str, str | None]:
    """A difference for programs."""
    return {
        "kind": difference.kind,
        "key": difference.key,
        "package": difference.package,
        "version": difference.version,
        "detail": difference.detail,
    }
