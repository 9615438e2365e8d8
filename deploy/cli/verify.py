"""`x07-registry verify`: compares rows and storage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from deploy.cli.options import After, AsJson, Deep
from shared.text import counted

if TYPE_CHECKING:
    from indexer.upkeep.differences import Difference
    from shared.settings import Settings


def verify(deep: Deep = False, as_json: AsJson = False, after: After = "") -> None:
    """Compare rows and storage, and report each difference. Nothing is changed.

    Exits with 0 if there is no difference, 1 if there are some, 130 if stopped. May run while the registry
    runs. Without --deep it trusts the digest that is stored with a file.
    """
    from deploy.cli.settings import command_settings
    from deploy.cli.stoppable import run_stoppable

    settings = command_settings()
    count = run_stoppable(lambda: _verify(settings, deep, as_json, after))
    raise typer.Exit(1 if count else 0)


async def _verify(settings: Settings, deep: bool, as_json: bool, after: str) -> int:
    """Verify and print every difference. Returns their number."""
    from deploy.cli.findings import Findings
    from deploy.cli.progress import open_walk
    from indexer.upkeep.log_verification import differences_of_log
    from indexer.upkeep.verification import Verification
    from worker.process import open_parts

    count = 0
    async with open_parts(settings) as parts:
        with open_walk() as progress, Findings("verify", as_json=as_json) as findings:
            verification = Verification(parts, progress, deep, settings.staging_keep_seconds)
            for walk in (verification.run(after), differences_of_log(parts, progress)):
                async for difference in walk:
                    findings.add(line_of(difference), **fields_of(difference))
                    count += 1
            findings.end(
                count == 0, counted(count, "difference") if count else "no difference", differences=count
            )
    return count


def line_of(difference: Difference) -> str:
    """Render a difference as a line of text."""
    release = " ".join(filter(None, (difference.package, difference.version)))
    of = f" ({release})" if release else ""
    return f"{difference.kind}  {difference.key}{of}: {difference.detail}"


def fields_of(difference: Difference) -> dict[str, str | None]:
    """Render a difference as JSON fields."""
    return {
        "kind": difference.kind,
        "key": difference.key,
        "package": difference.package,
        "version": difference.version,
        "detail": difference.detail,
    }
