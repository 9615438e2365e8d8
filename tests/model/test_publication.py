"""Publication in every order of events: finally no file is older than the rows, and no reader ever sees less.

Two workers run the real publication code against a writer, while requests of storage are lost, late or
doubled, workers lose their connections or die, and each may be paused at every step. `make model` tries every
run with one fault and one switch between actors that could go on; `make test` tries some of them, at random.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import pytest
import structlog

from indexer import publication
from indexer.parts import Parts
from indexer.queries import marks, packages
from indexer.rows import PackageState
from indexer.upkeep.healing import is_wrong
from shared.settings import Settings
from tests.model.exploration import Choices, Explored, explore
from tests.model.judge import Judge
from tests.model.rows import NAME, ModelRows, Transaction
from tests.model.storage import BackEnd, ModelStorage
from tests.model.world import Actor, Kind, World

FAULTS, SWITCHES = 1, 1
RUNS = None if "X07_WHOLE_MODEL" in os.environ else 200
SETTINGS = {
    "fs": Settings(),
    "s3": Settings(storage="s3", s3_bucket="b", s3_region="r", s3_endpoint="http://s3.invalid"),
}
SHORT, LONG = "Short.", "Long enough for compressed variants to be worth their bytes. " * 80

Step = Callable[[ModelRows], None]
Publish = Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class Story:
    """The versions published before a run, the waiting ones, and the writer's commits during the run."""

    published: Sequence[Step]
    waiting: Sequence[Step]
    meanwhile: Sequence[Step]
    description: str = SHORT


STORIES = {
    "a package is new": Story(
        (), (lambda rows: rows.publish("0.1.0"),), (lambda rows: rows.publish("0.2.0"),)
    ),
    "versions follow": Story(
        (lambda rows: rows.publish("0.1.0"),),
        (lambda rows: rows.publish("0.2.0"),),
        (lambda rows: rows.publish("0.3.0"),),
        LONG,
    ),
    "a version is removed": Story(
        (lambda rows: rows.publish("0.1.0"),),
        (lambda rows: rows.publish("0.2.0"),),
        (lambda rows: rows.remove("0.2.0"),),
    ),
    "the last version is removed": Story(
        (), (lambda rows: rows.publish("0.1.0"),), (lambda rows: rows.remove("0.1.0"),)
    ),
    "a version with a new advisory is removed": Story(
        (lambda rows: rows.publish("0.1.0"),),
        (lambda rows: rows.advise("0.1.0"),),
        (lambda rows: rows.remove("0.1.0"),),
    ),
    "a package is official for a while": Story(
        (lambda rows: rows.publish("0.1.0"),),
        (lambda rows: rows.set_official(True),),
        (lambda rows: rows.set_official(False),),
    ),
}


class AlwaysCurrent:
    """The database of the model is never restored."""

    async def require(self) -> None:
        """Never raises."""


class Silent:
    """Drops the messages to readers, which the model does not need."""

    async def announce(self, change: object) -> None:
        """Does nothing."""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Turn off the logs of some hundred thousand publications."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


@pytest.fixture(autouse=True)
def rows_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the queries of publication by the model's rows, in whichever world the transaction is."""
    for module, name in (
        (packages, "lock_states"),
        (marks, "mark"),
    ):
        monkeypatch.setattr(module, name, _answered_by_the_model(name))


def _answered_by_the_model(name: str) -> Callable[..., Any]:
    async def query(tx: Transaction, *args: Any, **named: Any) -> Any:
        return await getattr(tx.rows, name)(tx, *args, **named)

    return query


def explored(
    story: Story, back_end: BackEnd, faults: int = FAULTS, switches: int = SWITCHES
) -> Explored[None]:
    """Every run of a story."""

    async def run(choices: Choices) -> None:
        await tell(story, back_end, choices, faults, switches)

    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(explore(run, RUNS))
    finally:
        loop.close()


async def tell(story: Story, back_end: BackEnd, choices: Choices, faults: int, switches: int) -> None:
    """One run: earlier publications, then the chosen events, and possibly a final sweep."""
    world = World(choices, faults=faults, switches=switches)
    storage = ModelStorage(world, back_end)
    rows = ModelRows(world, storage, story.description)
    judge = Judge(rows, storage)
    parts = Parts(SETTINGS[back_end], *map(partial(cast, Any), (rows, storage, Silent(), AlwaysCurrent())))
    publish = partial(publication.publish_packages, parts, [NAME])
    await _publish_before(publish, rows, storage, story.published)
    for step in story.waiting:
        step(rows)
    rows.world = storage.world = world
    world.cut, world.can_be_cut, world.judge = rows.cut, rows.is_open, judge.look
    world.state = lambda: (storage.state(), rows.state(), judge.state())
    others = [
        first := world.add(Actor("first", publish)),
        world.add(Actor("second", publish, twin=first)),
        world.add(Actor("writer", partial(_write, world, rows, story.meanwhile), is_mortal=False)),
    ]
    world.add(Actor("sweep", partial(_sweep, world, publish, rows, others), is_mortal=False))
    await world.run()
    if back_end == "s3":
        await _heal(publish, rows, storage)
    judge.decide()


async def _heal(publish: Publish, rows: ModelRows, storage: ModelStorage) -> None:
    """Do what healing does if a file is not that of the rows.

    S3 compares bodies. A put in progress succeeds if the body that it compared with returns meanwhile; a
    directory compares generations, so there it does not.
    """
    rows.world = storage.world = world = World(Choices((), set()), faults=0, switches=0)
    actor = world.add(Actor("healing", partial(_look_and_publish, publish, rows, storage)))
    await world.run()
    assert actor.task is not None


async def _look_and_publish(publish: Publish, rows: ModelRows, storage: ModelStorage) -> None:
    state = PackageState(rows.package(), rows.published_generation, None, None)
    if await is_wrong(cast(Any, storage), state):
        rows.put_again()
        await publish()


async def _write(world: World, rows: ModelRows, steps: Sequence[Step]) -> None:
    """The writer's commits, each while no worker holds the lock."""
    for step in steps:
        await world.request(
            "writes", partial(step, rows), Kind.WRITE, is_possible=lambda: rows.holder is None
        )


async def _sweep(world: World, publish: Publish, rows: ModelRows, others: Sequence[Actor]) -> None:
    """Publish whatever is left after the others have ended."""

    def are_done() -> bool:
        return all(map(_has_ended, others))

    await world.request("begins", lambda: None, Kind.STATEMENT, are_done)
    while rows.generation > rows.published_generation:
        await publish()


def _has_ended(actor: Actor) -> bool:
    return actor.task is not None and actor.task.done()


async def _publish_before(
    publish: Publish, rows: ModelRows, storage: ModelStorage, steps: Sequence[Step]
) -> None:
    """Publish each step by itself."""
    for step in steps:
        step(rows)
        rows.world = storage.world = world = World(Choices((), set()), faults=0, switches=0)
        world.add(Actor("before", publish))
        await world.run()


@pytest.mark.parametrize("back_end", ["fs", "s3"])
@pytest.mark.parametrize("title", STORIES)
def test_no_order_of_events_leaves_an_older_file_or_shows_readers_less(title: str, back_end: BackEnd) -> None:
    """Every fault of storage and connections happens at every step, with pauses of any length."""
    found = explored(STORIES[title], back_end)
    print(f"{title} on {back_end}: {found}")
