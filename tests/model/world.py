"""A small world under a test's control: actors run real code, and stop before each request.

A stopped actor continues only when it is chosen. Some choices are faults: a request is lost, arrives late or
twice, or its answer is lost; a connection is cut; an actor dies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from functools import partial
from typing import Any, Final

from shared.errors import RegistryError
from tests.model.exploration import Choices

current: ContextVar[Actor] = ContextVar("current")
"""The running actor."""


OR_NEVER: Final = ", or never"


class Fate(StrEnum):
    """The outcome of a request."""

    DONE = "done"
    LOST = "lost"
    UNHEARD = "done, and no answer comes"
    REPEATED = "done, and repeated, as no answer came"
    LATE = "given up, and done later"
    TWICE = "done, and done again later"


class Kind(Enum):
    """The kind of a request. Writes and changes alter what readers see."""

    READ = "read of storage"
    CHANGE = "change of storage"
    STATEMENT = "statement"
    WRITE = "writer's transaction"
    COMMIT = "commit of a publication"


FATES: Final[dict[Kind, tuple[Fate, ...]]] = {
    Kind.CHANGE: tuple(Fate),
    Kind.COMMIT: (Fate.DONE, Fate.LOST, Fate.UNHEARD),
}
VISIBLE: Final = (Kind.CHANGE, Kind.WRITE)


@dataclass(eq=False)
class Actor:
    """A participant that runs real code.

    is_mortal: faults may strike it. twin: another actor that does the same and goes first, which leaves out
    runs that differ only in their names. history: its requests and their results, which make up its state.
    """

    name: str
    work: Callable[[], Awaitable[object]]
    stopped: list[Request] = field(default_factory=list)
    is_mortal: bool = True
    is_dead: bool = False
    twin: Actor | None = None
    history: int = 0
    task: asyncio.Task[object] | None = None

    def note(self, *what: Hashable) -> None:
        """Add to its history."""
        self.history = hash((self.history, what))


@dataclass(eq=False)
class Request:
    """A request before it is made. is_possible: whether it can be made now."""

    actor: Actor
    what: str
    kind: Kind
    is_possible: Callable[[], bool]
    fate: asyncio.Future[Fate]


@dataclass(frozen=True)
class Choice:
    """A possible next event. costs: how much it uses of a run's faults and switches."""

    what: str
    happen: Callable[[], None]
    faults: int = 0
    switches: int = 0

    def __str__(self) -> str:
        return self.what


class World:
    """Actors, requests in progress, and a run's limits of faults and of switches between actors."""

    def __init__(self, choices: Choices, *, faults: int, switches: int) -> None:
        self._choices = choices
        self._faults, self._switches = faults, switches
        self.actors: list[Actor] = []
        self.late: list[tuple[str, Callable[[], object]]] = []
        self.cut: Callable[[Actor], None] = lambda actor: None
        self.can_be_cut: Callable[[Actor], bool] = lambda actor: False
        self.state: Callable[[], Hashable] = lambda: None
        self.judge: Callable[[], None] = lambda: None
        self._last: Actor | None = None

    def add(self, actor: Actor) -> Actor:
        """Add an actor. It may end with one of our own errors, but with no other."""
        self.actors.append(actor)
        return actor

    async def request(
        self,
        what: str,
        effect: Callable[[], Any],
        kind: Kind,
        is_possible: Callable[[], bool] = lambda: True,
    ) -> Any:
        """Stop before a request, then make it with its chosen outcome.

        Raises TimeoutError if no answer comes.
        """
        actor = current.get()
        if actor.is_dead:
            raise asyncio.CancelledError
        request = Request(actor, what, kind, is_possible, asyncio.get_running_loop().create_future())
        actor.stopped.append(request)
        try:
            fate = await request.fate
        except asyncio.CancelledError:
            self._give_up(request, effect)
            raise
        if fate in (Fate.LATE, Fate.TWICE):
            self.late.append((f"{actor.name}: {what}", effect))
        result = None if fate in (Fate.LOST, Fate.LATE) else effect()
        if fate is Fate.REPEATED:
            result = effect()
        actor.note(what, fate, repr(result))
        if fate in (Fate.LOST, Fate.LATE, Fate.UNHEARD):
            raise TimeoutError
        return result

    def _give_up(self, request: Request, effect: Callable[[], object]) -> None:
        """The caller stops waiting. A change may have been sent: it takes effect later, or never."""
        if request in request.actor.stopped:
            request.actor.stopped.remove(request)
            if request.kind is Kind.CHANGE:
                self.late.append((f"{request.actor.name}: {request.what}{OR_NEVER}", effect))

    async def run(self) -> None:
        """Let one event after another happen, until none is left."""
        for actor in self.actors:
            actor.task = asyncio.create_task(_act(actor))
        try:
            while await self._turn():
                pass
        finally:
            for actor in self.actors:
                if actor.task is not None:
                    actor.task.cancel()
            await asyncio.gather(*(actor.task for actor in self.actors if actor.task), return_exceptions=True)

    async def _turn(self) -> bool:
        await _quiet()
        for actor in self.actors:
            if actor.task is not None and actor.task.done():
                actor.task.result()  # raises unexpected errors
        if not self._choices.is_replaying:
            self.judge()
        options = [
            choice
            for choice in self._options()
            if choice.faults <= self._faults and choice.switches <= self._switches
        ]
        if not options:
            return False
        chosen = self._choices.choose(options, self._fingerprint)
        self._faults -= chosen.faults
        self._switches -= chosen.switches
        chosen.happen()
        return True

    def _fingerprint(self) -> Hashable:
        actors = tuple(
            (actor.name, actor.history, tuple(request.what for request in actor.stopped))
            for actor in self.actors
        )
        late = tuple(sorted(what for what, _ in self.late))
        last = self._last.name if self._last is not None and self._last.stopped else None
        return actors, late, last, self._faults, self._switches, self.state()

    def _options(self) -> list[Choice]:
        # A task group cancels its tasks in no particular order.
        self.late.sort(key=lambda late: late[0])
        running = [actor for actor in self.actors if _can_go_on(actor)]
        if self._last in running:
            running.sort(key=lambda actor: actor is not self._last)
        options: list[Choice] = []
        for place, actor in enumerate(running):
            options += self._of_actor(actor, int(place > 0 and self._last in running))
        options += self._arrivals([actor.stopped[0] for actor in running])
        for actor in running:
            if actor.is_mortal:
                options += self._deaths(actor)
            if actor.is_mortal and self.can_be_cut(actor):
                options.append(Choice(f"{actor.name} is cut off", partial(self.cut, actor), faults=1))
        return options

    def _arrivals(self, requests: list[Request]) -> list[Choice]:
        """Late requests arrive, unless the next request would notice no difference and may go first."""
        arrivals = [
            Choice(f"late: {what}", partial(self._deliver, place))
            for place, (what, _) in enumerate(self.late)
            if not requests or any(_notices(request, what) for request in requests)
        ]
        if requests:
            return arrivals
        return arrivals + [
            Choice(f"never: {what}", partial(self.late.pop, place))
            for place, (what, _) in enumerate(self.late)
            if what.endswith(OR_NEVER)
        ]

    def _deaths(self, actor: Actor) -> list[Choice]:
        """The actor dies, unless its next request has no effect, so that nothing would differ."""
        request = actor.stopped[0]
        if request.kind in (Kind.READ, Kind.STATEMENT):
            return []
        deaths = [Choice(f"{actor.name} dies", partial(self._die, actor), faults=1)]
        if request.kind is Kind.CHANGE:
            late = f"{actor.name} dies, and {request.what} is done later"
            deaths.append(Choice(late, partial(self._die, actor, with_late=True), faults=1))
        return deaths

    def _of_actor(self, actor: Actor, switches: int) -> list[Choice]:
        """The possible outcomes of an actor's first request."""
        request = actor.stopped[0]
        fates = FATES.get(request.kind, (Fate.DONE,)) if actor.is_mortal else (Fate.DONE,)
        return [
            Choice(
                f"{actor.name}: {request.what}: {fate}",
                partial(self._go_on, request, fate),
                faults=int(fate is not Fate.DONE),
                switches=switches,
            )
            for fate in fates
        ]

    def _go_on(self, request: Request, fate: Fate) -> None:
        self._last = request.actor
        request.actor.stopped.remove(request)
        request.fate.set_result(fate)

    def _deliver(self, place: int) -> None:
        _, effect = self.late.pop(place)
        effect()

    def _die(self, actor: Actor, *, with_late: bool = False) -> None:
        first = actor.stopped[0]
        if with_late:
            self._go_on(first, Fate.LATE)
        self.cut(actor)
        actor.stopped.clear()
        actor.is_dead = True
        actor.note("died")
        if actor.task is not None:
            # After the late request was sent.
            asyncio.get_running_loop().call_soon(actor.task.cancel)


def _can_go_on(actor: Actor) -> bool:
    if not actor.stopped or not actor.stopped[0].is_possible():
        return False
    return actor.twin is None or actor.history != 0 or actor.twin.history != 0


def _notices(request: Request, late: str) -> bool:
    """True if the result of a request may differ between before and after a late one."""
    key = request.what.rpartition(" ")[2]
    return request.kind in VISIBLE or (request.kind is Kind.READ and key in late)


async def _act(actor: Actor) -> None:
    current.set(actor)
    try:
        await actor.work()
    except (RegistryError, asyncio.CancelledError):
        pass
    finally:
        actor.stopped.clear()


async def _quiet() -> None:
    """Return when every actor waits for a choice."""
    ready = getattr(asyncio.get_running_loop(), "_ready")  # noqa: B009 - which the type does not have
    await asyncio.sleep(0)
    while ready:
        await asyncio.sleep(0)
