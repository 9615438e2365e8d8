"""The kind and the severity of an advisory (contract, 6.4)."""

from __future__ import annotations

from enum import StrEnum

from shared.errors import DatabaseCorrupt


class AdvisoryKind(StrEnum):
    """The kind of problem that a version has."""

    BROKEN = "broken"
    SECURITY = "security"
    DEPRECATED = "deprecated"


class AdvisorySeverity(StrEnum):
    """How severe the problem is."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


def read_stored(kind: str, severity: str) -> tuple[AdvisoryKind, AdvisorySeverity]:
    """Kind and severity of a stored advisory. Raises DatabaseCorrupt."""
    try:
        return AdvisoryKind(kind), AdvisorySeverity(severity)
    except ValueError:
        raise DatabaseCorrupt("stored advisory is corrupt") from None
