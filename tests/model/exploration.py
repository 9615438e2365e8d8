"""Explores every run of a small world: at each point with several possible events, one run for each.

Runs are replayed from the beginning: a run follows the given choices, and after those takes the first option
of each. A state that was seen before is not explored again. A sample takes runs at random from those that are
known to be left.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


class Seen(Exception):
    """The run has reached a state from which everything was explored."""


@dataclass
class Choices:
    """The choices of one run. counts: options at each point. made: the chosen ones, in words."""

    given: Sequence[int]
    known: set[int]
    counts: list[int] = field(default_factory=list)
    made: list[str] = field(default_factory=list)

    @property
    def is_replaying(self) -> bool:
        """True while the run repeats an earlier one."""
        return len(self.counts) < len(self.given)

    def choose(self, options: Sequence[T], state: Callable[[], Hashable]) -> T:
        """Choose one of the options. state: equal states have the same futures. Raises Seen."""
        point = len(self.counts)
        if not self.is_replaying:
            if (fingerprint := hash(state())) in self.known:
                raise Seen
            self.known.add(fingerprint)
        self.counts.append(len(options))
        option = options[self.given[point] if point < len(self.given) else 0]
        self.made.append(str(option))
        return option


@dataclass
class Explored(Generic[T]):
    """The result of an exploration.

    runs: with their ends; pruned: those of them that ended in a seen state. left: known but not run.
    """

    runs: int = 0
    pruned: int = 0
    states: int = 0
    left: int = 0


async def explore(run: Callable[[Choices], Awaitable[None]], limit: int | None = None) -> Explored[None]:
    """Run all of them, or this many at random if there is a limit.

    An exception from a run gets the choices that led to it as a note.
    """
    explored, known = Explored[None](), set[int]()
    prefixes: list[list[int]] = [[]]
    while prefixes and explored.runs != limit:
        given = prefixes.pop(random.randrange(len(prefixes)) if limit else -1)
        choices = Choices(given, known)
        explored.runs += 1
        try:
            await run(choices)
        except Seen:
            explored.pruned += 1
        except BaseException as error:
            error.add_note("\n".join(choices.made))
            raise
        taken = [*given, *[0] * (len(choices.counts) - len(given))]
        for point in range(len(given), len(choices.counts)):
            prefixes += [[*taken[:point], other] for other in range(1, choices.counts[point])]
    explored.states, explored.left = len(known), len(prefixes)
    return explored
