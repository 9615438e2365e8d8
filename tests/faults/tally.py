"""Counts for the table in docs/reliability.md."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

REPORT = "X07_SOAK_REPORT"


@dataclass
class Tally:
    """The figures of one row. row: the name of the fault. recover_s: one value per recovery.

    lost: acknowledged but missing in the index or damaged. stuck: not published, or not publishable.
    """

    row: str
    tried: int = 0
    faults: int = 0
    acknowledged: int = 0
    lost: int = 0
    stuck: int = 0
    recover_s: list[float] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Add the figures of another tally of the same row."""
        self.tried += other.tried
        self.faults += other.faults
        self.acknowledged += other.acknowledged
        self.lost += other.lost
        self.stuck += other.stuck
        self.recover_s += other.recover_s

    def report(self) -> None:
        """Write a line to the soak's report, if there is one."""
        if path := os.environ.get(REPORT):
            with Path(path).open("a") as file:
                file.write(f"{json.dumps(asdict(self))}\n")
