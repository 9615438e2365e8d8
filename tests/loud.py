"""Warnings of a test run that are printed in red at its end, also from processes of pytest-xdist."""

from __future__ import annotations

import pytest

LOUD = "loud"


def say_loudly(request: pytest.FixtureRequest, text: str) -> None:
    """Record a warning for the end of the run."""
    request.node.user_properties.append((LOUD, text))


def tell(reporter: pytest.TerminalReporter) -> None:
    """Print all recorded warnings."""
    reports = [report for reports in reporter.stats.values() for report in reports]
    for report in reports:
        # Setup and teardown reports have the same properties.
        said = report.user_properties if getattr(report, "when", None) == "call" else ()
        for name, text in said:
            if name == LOUD:
                reporter.write_line(text, red=True, bold=True)
