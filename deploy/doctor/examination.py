"""Runs every check in order; a check comes after those that it depends on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deploy.doctor import addresses, clock, database, high_water, linter, log, queue, signing, storage
from deploy.doctor.finding import Finding, examined, failed, ok
from shared.settings import Settings, load_settings
from shared.variables import SettingsError, told_of

SETTINGS_MEND = "correct the variable; docs/settings.md says what each may be"


async def examine(settings: Settings) -> list[Finding]:
    """Run all checks. Returns the findings in order. Never raises.

    The checks run one after another, because a busy check would delay another's answer.
    """
    checks = (
        examined(database.CHECK, database.MEND, database.examine_database(settings)),
        examined(queue.CHECK, queue.MEND, queue.examine_queue(settings)),
        examined(storage.CHECK, storage.mend_of(settings), storage.examine_storage(settings)),
        examined(high_water.CHECK, high_water.MEND, high_water.examine_high_water(settings)),
        examined("clock of the database", database.MEND, clock.examine_database_clock(settings)),
        examined(signing.CHECK, signing.MEND, signing.examine_signing(settings)),
        examined(log.CHECK, log.MEND, log.examine_log(settings)),
        examined(linter.CHECK, linter.MEND, linter.examine_linter(settings)),
        examined(addresses.BASE, addresses.BASE_MEND, addresses.examine_public_base(settings)),
        examined(addresses.GITHUB, addresses.GITHUB_MEND, addresses.examine_github(settings)),
    )
    findings = [ok("settings", _about_settings(settings))]
    for check in checks:
        findings += await check
    return findings


def _about_settings(settings: Settings) -> str:
    return "; ".join(["every variable has an allowed value", *told_of(settings.unknown_variables)])


def read_settings(overrides: Mapping[str, Any] | None = None) -> Settings | Finding:
    """The settings, or a finding that reports what is wrong with them."""
    try:
        return load_settings(**(overrides or {}))
    except SettingsError as error:
        return failed("settings", "; ".join(str(error).splitlines()), SETTINGS_MEND)


def render_report(findings: Sequence[Finding]) -> Iterator[str]:
    """Lines for people: the result of each check, followed by how to fix it."""
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        yield f"{finding.status:<6}  {finding.check:<{width}}  {finding.detail}"
        if finding.mend:
            yield f"{'':<{8 + width}}  fix: {finding.mend}"
    count = sum(finding.status == "failed" for finding in findings)
    yield f"{count} to mend" if count else "all is well"
