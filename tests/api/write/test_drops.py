"""Which answers of readers a writer waits for."""

from __future__ import annotations

from api.write.drops import CHANGES_KEPT, Drops
from shared.messages import Change, Dropped

CHANGE = Change((), {"hello": 1}, id="one", readers=("own", "other"))


async def test_an_answer_that_came_before_anybody_waited_counts() -> None:
    """The reader in a writer's own process answers once, maybe before the message reaches the writer."""
    drops = Drops()
    drops.apply(Dropped("own", "one"))
    are_dropped = drops.expect(CHANGE)
    assert not are_dropped.done()
    drops.apply(Dropped("other", "one"))
    assert await are_dropped


async def test_who_waits_later_for_the_same_change_gets_the_same_answers() -> None:
    """While some are missing, and when all have come."""
    drops = Drops()
    first = drops.expect(CHANGE)
    drops.apply(Dropped("own", "one"))
    second = drops.expect(CHANGE)
    drops.apply(Dropped("other", "one"))
    assert (await first, await second, await drops.expect(CHANGE)) == (True, True, True)


async def test_the_answers_to_old_changes_are_forgotten() -> None:
    """Those to the oldest first."""
    drops = Drops()
    for number in range(CHANGES_KEPT + 1):
        drops.apply(Dropped("own", str(number)))
    first, second = (drops.expect(Change((), id=str(number), readers=("own",))) for number in (0, 1))
    assert not first.done()
    assert await second
