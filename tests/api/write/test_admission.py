"""Publish slots: however many some publishers hold, another one still gets a slot."""

from __future__ import annotations

from contextlib import ExitStack
from uuid import uuid4

import pytest

from api.write.admission import Intake
from shared.errors import Unavailable

PLACES = 64


def slots_taken(intake: Intake, stack: ExitStack, wanted: int) -> int:
    """How many of the wanted slots a new publisher gets. It holds them until the stack closes."""
    publisher = uuid4()
    for number in range(wanted):
        with ExitStack() as attempt:
            try:
                slot = attempt.enter_context(intake.place(str(publisher)))
                attempt.enter_context(slot.of(publisher))
            except Unavailable:
                return number
            stack.enter_context(attempt.pop_all())
    return wanted


def test_each_publisher_gets_half_of_what_the_others_left_and_the_last_quarter_is_for_first_slots() -> None:
    """Only more than twenty accounts with 40 uploads each can keep another publisher from getting a slot."""
    intake = Intake(PLACES)
    with ExitStack() as stack:
        taken = [slots_taken(intake, stack, 40) for _ in range(23)]
        assert taken == [24, 12, 6, 3, 2, *[1] * 17, 0]
    with ExitStack() as stack:
        assert slots_taken(intake, stack, 40) == 24, "slots are given back"


@pytest.mark.parametrize(("places", "alone"), [(1, 1), (2, 1), (3, 2), (4, 2), (16, 6)])
def test_one_publisher_alone_publishes_with_any_number_of_slots(places: int, alone: int) -> None:
    """One slot is enough."""
    with ExitStack() as stack:
        assert slots_taken(Intake(places), stack, 40) == alone


def test_many_credentials_of_one_publisher_are_one_publisher() -> None:
    """An account can create any number of tokens, and use them before the server knows whose they are."""
    intake, publisher, refused = Intake(PLACES), uuid4(), 0
    with ExitStack() as stack:
        slots = [stack.enter_context(intake.place(f"token-{number}")) for number in range(PLACES)]
        for slot in slots:
            try:
                stack.enter_context(slot.of(publisher))
            except Unavailable:
                refused += 1
    assert refused == PLACES - 24
