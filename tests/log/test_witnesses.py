"""Witnesses cosign the log's checkpoints; none can delay the log or make it accept another statement."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

import worker.jobs
from indexer import metrics
from indexer.log import sequencer
from indexer.log.checkpoint import Checkpoint, cosigned_by, open_checkpoint
from indexer.log.note import Note
from indexer.log.sequencer import Sequencer
from indexer.log.witnesses import MAX_ANSWER_BYTES, Asking, open_witnesses
from indexer.queries import log as rows
from shared.errors import StorageUnavailable
from shared.messages import Notifier
from shared.statements import Driver
from tests.archives import hello_archive
from tests.conftest import MakeSettings
from tests.deploy.forked_commands import run
from tests.indexer.upkeep.walks import body_of
from tests.log.logs import LOGGING, SIGNER, VKEY, add_lines, sequence, sequencer_of, until_logged
from tests.log.witness import PlayedWitness
from tests.stack import Registry, eventually, running_registry
from worker.process import open_parts
from worker.schedule import Schedule


@pytest.fixture
def storage_settings(tmp_path: Path) -> dict[str, Any]:
    """A directory; witnesses have nothing to do with storage."""
    return {"storage": "fs", "data_dir": tmp_path / "tree"}


@pytest_asyncio.fixture
async def witness() -> AsyncIterator[PlayedWitness]:
    """A witness that knows the tests' log."""
    async with PlayedWitness(SIGNER.verifier).running() as played:
        yield played


@pytest_asyncio.fixture
async def other_witness() -> AsyncIterator[PlayedWitness]:
    """Another one."""
    async with PlayedWitness(SIGNER.verifier, "other.example", b"o" * 32).running() as played:
        yield played


def logging_with(*witnesses: PlayedWitness) -> dict[str, Any]:
    """Settings of a log that these witnesses cosign."""
    return {**LOGGING, "log_witnesses": ",".join(one.setting for one in witnesses)}


async def until_cosigned(registry: Registry, size: int, *witnesses: PlayedWitness) -> Note:
    """Wait until the checkpoint of this size has each one's cosignature. Returns the note."""

    async def is_cosigned() -> Note | None:
        note = await checkpoint_of(registry)
        if note is None or open_checkpoint(note.render(), [SIGNER.verifier]).size != size:
            return None
        keys = {one.key for one in cosigned_by(note, [witness.key for witness in witnesses])}
        return note if keys == {witness.key for witness in witnesses} else None

    note: Note = await eventually(is_cosigned)
    return note


async def checkpoint_of(registry: Registry) -> Note | None:
    """The signed note in storage."""
    if not await registry.keys("log/checkpoint"):
        return None
    return Note.parse(await body_of(registry.storage, "log/checkpoint"))


def failures_of(witness: PlayedWitness) -> float:
    """The number of a witness's failures in the metrics."""
    return float(metrics.LOG_WITNESS_FAILURES.labels(witness.name)._value.get())


async def test_each_checkpoint_is_cosigned_with_a_proof_that_it_continues_the_last(
    witness: PlayedWitness, other_witness: PlayedWitness, make_settings: MakeSettings, tmp_path: Path
) -> None:
    """Every witness does so once; readers that know no witness see the checkpoint unchanged."""
    async with running_registry(await make_settings(**logging_with(witness, other_witness))) as registry:
        await until_cosigned(registry, 0, witness, other_witness)
        publisher = await registry.add_publisher()
        await registry.publish(hello_archive(), publisher)
        await until_cosigned(registry, 1, witness, other_witness)
        await add_lines(registry, 700)
        note = await until_cosigned(registry, 701, witness, other_witness)
        assert len(note.signatures) == 3
        for one in (witness, other_witness):
            assert [status for *_, status in one.asked] == [200] * len(one.asked)
            assert one.asked[-1][:2] != (0, 701)
            assert one.head is not None
            assert one.head.size == 701
        assert (await registry.http.get("/log/checkpoint?x07_refresh=1")).content == note.render()
        arguments = ("--vkey", VKEY, "--state", str(tmp_path / "state"), "--once", "--log-only")
        seen = await asyncio.to_thread(run, "log", "monitor", registry.url, *arguments)
        assert (seen.returncode, seen.stdout.count("\n")) == (0, 701), seen.stderr
        await registry.publish(hello_archive(version="0.2.0"), publisher)
        await until_cosigned(registry, 702, witness, other_witness)
        for one in (witness, other_witness):
            assert len(set(one.asked)) == len(one.asked)


async def test_a_proof_has_the_cosignatures_and_whoever_checks_it_may_demand_them(
    witness: PlayedWitness, other_witness: PlayedWitness, make_settings: MakeSettings, tmp_path: Path
) -> None:
    """`log check-proof --witness` does; it reports a witness that did not cosign."""
    async with running_registry(await make_settings(**logging_with(witness))) as registry:
        await registry.publish(hello_archive(), await registry.add_publisher())
        await until_cosigned(registry, 1, witness)
        address = f"file://{registry.settings.data_dir}"
        proof = await asyncio.to_thread(run, "log", "prove", "hello", "0.1.0", "--url", address)
    path = tmp_path / "proof"
    path.write_text(proof.stdout)
    check = ("log", "check-proof", str(path), "--vkey", VKEY, "--witness", str(witness.key))
    assert (await asyncio.to_thread(run, *check)).returncode == 0
    missed = await asyncio.to_thread(run, *check, "--witness", str(other_witness.key))
    assert missed.returncode == 1
    assert "not cosigned by other.example" in missed.stderr


async def test_a_worker_that_does_not_know_what_was_cosigned_is_told_and_asks_again(
    witness: PlayedWitness, make_settings: MakeSettings
) -> None:
    """A new process begins at size 0; the witness answers 409 with the size that it knows."""
    settings = await make_settings(**logging_with(witness))
    async with running_registry(settings) as registry:
        await until_logged(registry, 0)
        await add_lines(registry, 300)
        await until_cosigned(registry, 300, witness)
    witness.asked.clear()
    async with running_registry(settings) as registry:
        await add_lines(registry, 5)
        await until_cosigned(registry, 305, witness)
    statuses = [status for *_, status in witness.asked]
    assert (statuses.count(409), statuses[-1]) in [(0, 200), (1, 200)]
    assert witness.asked[-1][:2] == (300, 305)


async def test_a_witness_that_forgot_is_asked_from_where_it_is(
    witness: PlayedWitness, make_settings: MakeSettings
) -> None:
    """A witness that was restored from a backup knows an older size."""
    async with running_registry(await make_settings(**logging_with(witness))) as registry:
        await until_logged(registry, 0)
        await add_lines(registry, 300)
        await until_cosigned(registry, 300, witness)
        early = witness.head
        await add_lines(registry, 10)
        await until_cosigned(registry, 310, witness)
        witness.head = early
        await add_lines(registry, 10)
        await until_cosigned(registry, 320, witness)
    assert witness.asked[-2:] == [(310, 320, 409), (300, 320, 200)]


async def test_the_first_checkpoint_and_one_left_by_a_worker_that_died_are_cosigned_at_once(
    witness: PlayedWitness, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker has the witnesses asked by itself: the periodic job does nothing here."""

    async def asks_nobody(ctx: dict[str, Any]) -> None:
        pass

    monkeypatch.setattr(worker.jobs, "ask_witnesses", asks_nobody)
    settings = await make_settings(**logging_with(witness))
    async with running_registry(settings) as registry:
        await until_cosigned(registry, 0, witness)
    async with running_registry(settings, with_worker=False) as registry:
        await add_lines(registry, 3)
        await sequence(registry)
    async with running_registry(settings) as registry:
        await until_cosigned(registry, 3, witness)


async def test_a_cosignature_that_comes_while_the_log_is_locked_is_added_after_it(
    witness: PlayedWitness, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sequencer or another witness may hold the lock; nobody has the witness asked again afterwards."""
    is_refused, try_log_lock = asyncio.Event(), rows.try_log_lock

    async def tried(lock: Driver) -> bool:
        is_taken = await try_log_lock(lock)
        if not is_taken:
            is_refused.set()
        return is_taken

    settings = await make_settings(**logging_with(witness))
    async with running_registry(settings, with_worker=False) as registry:
        await sequence(registry)
        async with (
            open_parts(settings) as parts,
            open_witnesses(sequencer_of(parts), settings.witnesses()) as [one],
        ):
            monkeypatch.setattr(rows, "try_log_lock", tried)
            async with registry.database.driver_transaction() as lock:
                assert await try_log_lock(lock)
                asking = asyncio.create_task(one.run())
                await is_refused.wait()
            await asking
        await until_cosigned(registry, 0, witness)
    assert [status for *_, status in witness.asked] == [200]


@pytest_asyncio.fixture
async def asking(
    witness: PlayedWitness, make_settings: MakeSettings
) -> AsyncIterator[tuple[Registry, Asking, Asking]]:
    """A registry without a worker, whose log has three entries, and two that ask its witness."""
    settings = await make_settings(**logging_with(witness))
    async with running_registry(settings, with_worker=False) as registry, open_parts(settings) as parts:
        await add_lines(registry, 3)
        await sequence(registry)
        async with (
            open_witnesses(sequencer_of(parts), settings.witnesses()) as [one],
            open_witnesses(sequencer_of(parts), settings.witnesses()) as [other],
        ):
            yield registry, one, other


async def test_a_checkpoint_that_cannot_be_published_is_not_asked_about_without_end(
    witness: PlayedWitness, asking: tuple[Registry, Asking, Asking], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The head stands in Postgres before its checkpoint is in storage, whose disk may be full for days."""
    registry, one, _ = asking
    await add_lines(registry, 3)

    async def fails(*given: Any) -> None:
        raise StorageUnavailable("the disk is full")

    monkeypatch.setattr(Sequencer, "replace_checkpoint", fails)
    with pytest.raises(StorageUnavailable):
        await one.sequencer.run()
    monkeypatch.undo()
    async with asyncio.timeout(30):
        await one.run()
    assert await one.sequencer.run() == 0
    async with asyncio.timeout(30):
        await one.run()
    await until_cosigned(registry, 6, witness)


async def test_a_witness_that_cosigned_a_newer_checkpoint_for_another_worker_saw_no_rollback(
    witness: PlayedWitness, asking: tuple[Registry, Asking, Asking], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It knows more entries than the checkpoint that this worker has read, and the log has them."""
    registry, one, other = asking
    before, real, is_reading, goes_on = failures_of(witness), Asking._post, asyncio.Event(), asyncio.Event()

    async def held(asker: Asking, note: Note, checkpoint: Checkpoint) -> tuple[int, bytes]:
        if asker is one and not goes_on.is_set():
            is_reading.set()
            await goes_on.wait()
        return await real(asker, note, checkpoint)

    monkeypatch.setattr(Asking, "_post", held)
    late = asyncio.create_task(one.run())
    await is_reading.wait()
    await add_lines(registry, 3)
    await sequence(registry)
    await other.run()
    goes_on.set()
    await late
    assert failures_of(witness) == before
    assert [status for *_, status in witness.asked] == [200, 409]


async def test_witnesses_are_asked_although_the_turn_that_published_failed_afterwards(
    asking: tuple[Registry, Asking, Asking], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the next turn, which has nothing else to do."""
    registry, one, _ = asking
    asked: list[int | None] = []

    async def ask(notifier: Notifier) -> None:
        asked.append(one.sequencer.published_size)

    async def fails(*given: Any) -> None:
        raise StorageUnavailable("for a moment")

    monkeypatch.setattr(Notifier, "ask_witnesses", ask)
    async with open_parts(registry.settings) as parts:
        schedule = Schedule(parts, one.sequencer, [one])
        await schedule._grow_log(one.sequencer)
        await add_lines(registry, 3)
        with monkeypatch.context() as broken:
            broken.setattr(sequencer, "remove_partial", fails)
            with pytest.raises(StorageUnavailable):
                await schedule._grow_log(one.sequencer)
        for _ in range(2):
            await schedule._grow_log(one.sequencer)
    assert asked == [3, 6]


async def test_a_slow_and_a_dead_witness_delay_nobody(
    witness: PlayedWitness, other_witness: PlayedWitness, make_settings: MakeSettings
) -> None:
    """Neither the log nor the other witness is delayed; the dead one's failures are counted."""
    slow = PlayedWitness(SIGNER.verifier, "slow.example", b"s" * 32, held=asyncio.Event())
    dead = PlayedWitness(SIGNER.verifier, "dead.example", b"d" * 32, url="http://127.0.0.1:1")
    before = failures_of(dead)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(slow.running())
        settings = await make_settings(**logging_with(slow, dead, witness))
        registry = await stack.enter_async_context(running_registry(settings))
        publisher = await registry.add_publisher()
        await until_cosigned(registry, 0, witness)
        for count in range(1, 4):
            await registry.publish(hello_archive(version=f"0.{count}.0"), publisher)
            async with asyncio.timeout(60):
                await until_cosigned(registry, count, witness)
        assert failures_of(dead) > before
        note = await checkpoint_of(registry)
        assert note is not None
        assert len(note.signatures) == 2
        assert slow.held is not None
        slow.held.set()
        await until_cosigned(registry, 3, witness, slow)


@pytest.mark.parametrize("answer", ["another key", "another text", "junk", "nothing", "too much", "403"])
async def test_what_is_no_cosignature_of_the_checkpoint_is_not_added(
    witness: PlayedWitness, make_settings: MakeSettings, answer: str
) -> None:
    """It counts as a failure; the checkpoint is unchanged."""
    stranger = PlayedWitness(SIGNER.verifier, "stranger.example", b"x" * 32)
    answers = {
        "another key": stranger.cosign("x07.example/log\n"),
        "another text": witness.cosign("x07.example/log\n1\nAAAA\n"),
        "junk": b"\xff\x00",
        "nothing": b"",
        "too much": b"x" * (MAX_ANSWER_BYTES + 1),
    }
    witness.answer, before = answers.get(answer), failures_of(witness)
    witness.status = 403 if answer == "403" else None
    async with running_registry(await make_settings(**logging_with(witness))) as registry:

        async def is_counted() -> bool:
            return failures_of(witness) > before

        await eventually(is_counted)
        note = await checkpoint_of(registry)
        assert note is not None
        assert [one.name for one in note.signatures] == [SIGNER.verifier.name]


async def test_a_witness_that_saw_more_than_the_log_has_is_told(
    witness: PlayedWitness, make_settings: MakeSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    """Database and storage were both restored from a backup; only the witness can notice."""
    settings = await make_settings(**logging_with(witness))
    async with running_registry(settings) as registry:
        await until_logged(registry, 0)
        await add_lines(registry, 3)
        await until_cosigned(registry, 3, witness)
    assert witness.head is not None
    witness.head = type(witness.head)(witness.head.origin, 9, bytes(32))
    before = failures_of(witness)
    async with running_registry(settings) as registry:
        await add_lines(registry, 1)
        await until_logged(registry, 4)

        async def is_counted() -> bool:
            return failures_of(witness) > before

        await eventually(is_counted)
    assert "it saw 9 entries of this log, which has 4: it was rolled back" in capsys.readouterr().out
