"""`x07-registry doctor`: checks the registry and says how to fix what is wrong."""

from __future__ import annotations

import asyncio

import typer

from deploy.cli.options import AsJson, print_json


def doctor(as_json: AsJson = False) -> None:
    """Check settings, database, Redis, storage, clocks, signing key, linter, the public base URL and GitHub.

    Reports what is wrong and how to fix it, and exits with 1 if anything is wrong. Nothing that clients see
    changes; the test data that it writes to storage and Redis is deleted again.
    """
    from deploy.cli.settings import use_local_registry
    from deploy.doctor.examination import examine, read_settings, render_report
    from deploy.doctor.finding import Finding
    from shared.telemetry import configure_logging

    use_local_registry()
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
