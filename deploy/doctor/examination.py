"""Every check in its order: first what others stand on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deploy.doctor import addresses, clock, database, linter, queue, signing, storage
from deploy.doctor.finding import Finding, examined, failed, ok
from shared.settings import Settings, SettingsError, load_settings

SETTINGS_MEND = "correct the variable; docs/settings.md says what each may be"


async def examine(settings: Settings) -> list[Finding]:
    """What the doctor finds, in order. Never raises.

    One after another: beside one that keeps this process busy, another's answer would seem late.
    """
    checks = (
        examined(database.CHECK, database.MEND, database.examine_database(settings)),
        examined(queue.CHECK, queue.MEND, queue.examine_queue(settings)),
        examined(storage.CHECK, storage.mend_of(settings), storage.examine_storage(settings)),
        examined("clock of the database", database.MEND, clock.examine_database_clock(settings)),
        examined(signing.CHECK, signing.MEND, signing.examine_signing(settings)),
        examined(linter.CHECK, linter.MEND, linter.examine_linter(settings)),
        examined(addresses.BASE, addresses.BASE_MEND, addresses.examine_public_base(settings)),
        examined(addresses.GITHUB, addresses.GITHUB_MEND, addresses.examine_github(settings)),
    )
    findings = [ok("settings", "every variable has an allowed value")]
    for check in checks:
        findings += await check
    return findings


def read_settings(overrides: Mapping[str, Any] | None = None) -> Settings | Finding:
    """The settings, or what is wrong with them: without them nothing else can be looked at."""
    try:
        return load_settings(**(overrides or {}))
    except SettingsError as error:
        return failed("settings", "; ".join(str(error).splitlines()), SETTINGS_MEND)


def render_report(findings: Sequence[Finding]) -> Iterator[str]:
    """Lines for a person: what each check found, and below it what to do."""
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        yield f"{finding.status:<6}  {finding.check:<{width}}  {finding.detail}"
        if finding.mend:
            yield f"{'':<{8 + width}}  mend: {finding.mend}"
    count = sum(finding.status == "failed" for finding in findings)
    yield f"{count} to mend" if count else "all is well"
