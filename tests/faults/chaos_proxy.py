"""What the proxy in front of S3 does with requests in the chaos test."""

from __future__ import annotations

import random
from collections import Counter
from typing import Final

from tests.s3_proxy import CutAnswer, Late, Lose, Pass, Repeat, Sent, Treatment

LATEST_S: Final = 12.0
ODDS_OF_TREATMENT: Final = 0.05


def treatment_of(sent: Sent, faults: Counter[str]) -> Treatment:
    """The proxy's treatment of a request."""
    if random.random() > ODDS_OF_TREATMENT:
        return Pass()
    treatments: list[tuple[str, Treatment]] = [
        ("request delayed", Pass(random.uniform(0.05, 1.0))),
        ("request lost", Lose()),
        ("answer cut", CutAnswer(random.choice((0, 20)))),
    ]
    if sent.method in ("PUT", "DELETE"):
        treatments += [
            ("request late", Late(random.uniform(0.1, LATEST_S))),
            ("request repeated late", Repeat(random.uniform(0.1, LATEST_S))),
        ]
    name, treatment = random.choice(treatments)
    faults[name] += 1
    return treatment
