"""What a test run must not keep to itself: told in red at its end, also by the processes of pytest-xdist."""

from __future__ import annotations

import pytest

LOUD = "loud"


def say_loudly(request: pytest.FixtureRequest, text: str) -> None:
    """Let the end of the run say this."""
    request.node.user_properties.append((LOUD, text))


def tell(reporter: pytest.TerminalReporter) -> None:
    """Tell all that was said."""
    reports = [report for reports in reporter.stats.values() for report in reports]
    for report in reports:
        # Setup and teardown carry the same properties.
        said = report.user_properties if getattr(report, "when", None) == "call" else ()
        for name, text in said:
            if name == LOUD:
                reporter.write_line(text, red=True, bold=True)
