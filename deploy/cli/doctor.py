"""`x07-registry doctor`: what is wrong, and how to mend it."""

from __future__ import annotations

import asyncio

import typer

from deploy.cli.options import AsJson, print_json


def doctor(as_json: AsJson = False) -> None:
    """Check settings, database, Redis, storage, clocks, signing key, linter, public base and GitHub.

    Says for each what is wrong and how to mend it. Exits with 1 if anything is. Changes nothing that
    readers see: what it writes to try storage and Redis is deleted again.
    """
    from deploy.doctor.examination import examine, read_settings, render_report
    from deploy.doctor.finding import Finding
    from shared.telemetry import configure_logging

    settings = read_settings()
    if isinstance(settings, Finding):
        findings = [settings]
    else:
        configure_logging(settings.model_copy(update={"log_level": "error"}))
        findings = asyncio.run(examine(settings))
    is_well = all(finding.status != "failed" for finding in findings)
    if as_json:
        print_json({"ok": is_well, "checks": findings})
    else:
        print("\n".join(render_report(findings)))
    if not is_well:
        raise typer.Exit(1)
