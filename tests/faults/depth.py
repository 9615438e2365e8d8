"""The extent of fault tests: a few random choices in `make test`, all of them in `make soak`."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import Final, TypeVar

from tests.faults.tally import REPORT

IS_SOAK: Final = REPORT in os.environ

T = TypeVar("T")


def some(choices: Sequence[T], count: int) -> list[T]:
    """This many of the choices, by the run's seed; all of them in the soak. The order is random."""
    return random.sample(choices, len(choices) if IS_SOAK else count)


def rounds(count: int) -> int:
    """The number of repetitions: three times as many in the soak."""
    return 3 * count if IS_SOAK else count
