"""Asks witnesses, which follow the log, to cosign its checkpoints (c2sp.org/tlog-witness, add-checkpoint).

A witness signs a checkpoint only if it continues the last one that it signed. A client that demands its
cosignature therefore sees the same history as everybody else, even if this registry's operator is dishonest.

The log never waits for a witness. When a cosignature arrives, it is added to the checkpoint in storage if
that is still the one that was cosigned; otherwise the newer checkpoint is sent to the witness next.
"""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final

import httpx
import structlog

from indexer import metrics
from indexer.log.checkpoint import Checkpoint, cosigned_by
from indexer.log.invalid import LogInvalid
from indexer.log.note import Note, Signature, VerifierKey
from indexer.log.reader import LogReader, fetch_from
from indexer.log.sequencer import Sequencer
from indexer.queries import log as rows
from shared.blobs import CHECKPOINT_KEY
from shared.concurrency import raise_if_cancelled
from shared.http.authorities import trusted_authorities
from shared.storage.interface import BlobInfo, Found
from shared.verifier_keys import COSIGNATURE, Witness

TIMEOUT_S: Final = 10.0
# How long a witness that failed is left alone.
RETRY_S: Final = 9.0
# How long a cosignature waits for whoever changes the log.
LOCK_PAUSE_S: Final = 0.2
MAX_ANSWER_BYTES: Final = 64 << 10
_SIZE: Final = re.compile(rb"(0|[1-9][0-9]{0,18})\n?")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Published:
    """The checkpoint in storage, which our key signed. info: of its blob."""

    info: BlobInfo
    note: Note


class WitnessFailed(Exception):
    """A witness did not cosign. The message says why, without its name."""


@dataclass(slots=True)
class Asking:
    """Asks one witness for its cosignature.

    _cosigned_size: the size of the tree that it last cosigned, as far as this process knows. _signed: the
    text that it last signed, and its signatures. _done: the tree head for which nothing is left to ask.
    """

    sequencer: Sequencer
    witness: Witness
    client: httpx.AsyncClient
    key: VerifierKey = field(init=False)
    _cosigned_size: int = 0
    _signed: tuple[str, list[Signature]] | None = None
    _done: tuple[int, bytes] | None = None
    _again_at: float = 0.0

    def __post_init__(self) -> None:
        """Create the metrics of the witness at the start."""
        self.key = VerifierKey(self.witness.name, self.witness.public_key, COSIGNATURE)
        metrics.LOG_WITNESS_FAILURES.labels(self.witness.name)
        metrics.LOG_COSIGNED_SIZE.labels(self.witness.name).set(0)

    async def run(self) -> None:
        """Ask for cosignatures until the newest checkpoint has one.

        A witness that fails is counted and logged. After that it is left alone for RETRY_S, however often
        this is called. Raises StorageUnavailable, StorageFailed, DatabaseUnavailable.
        """
        if time.monotonic() < self._again_at:
            return
        try:
            while await self._turn():
                raise_if_cancelled()
        except WitnessFailed as error:
            self._again_at = time.monotonic() + RETRY_S
            metrics.LOG_WITNESS_FAILURES.labels(self.witness.name).inc()
            log.warning("witness_failed", witness=self.witness.name, reason=str(error))

    async def _turn(self) -> bool:
        """Add this witness's cosignature to the checkpoint in storage, unless it is there.

        False if there was nothing to do. Raises WitnessFailed and what run raises.
        """
        state = await self.sequencer.state()
        if state is None or (state.size, state.root) == self._done:
            return False
        published = await self._published()
        if published is None:
            return False
        checkpoint = Checkpoint.parse(published.note.text)
        if not self._has_cosigned(published.note) and not await self._cosign(published.note, checkpoint):
            await asyncio.sleep(LOCK_PAUSE_S)
            return True
        self._note_size(checkpoint.size)
        self._done = (checkpoint.size, checkpoint.root)
        # If Postgres has another head, the log is growing, after which the witness is asked again; or storage
        # and Postgres disagree, which may last.
        return (state.size, state.root) == self._done

    async def _cosign(self, note: Note, checkpoint: Checkpoint) -> bool:
        """Add the witness's cosignature. False if the log grew meanwhile or is locked: try again.

        Raises WitnessFailed and what run raises.
        """
        if self._signed is None or self._signed[0] != note.text:
            signatures = await self._cosignatures(note, checkpoint)
            if signatures is None:
                return False
            self._signed = note.text, signatures
            self._note_size(checkpoint.size)
        return await self._add(*self._signed)

    async def _published(self) -> _Published | None:
        """The checkpoint in storage; None if it is missing or not ours, which the sequencer reports."""
        found = await self.sequencer.storage.get(CHECKPOINT_KEY)
        if not isinstance(found, Found):
            return None
        try:
            note = Note.parse(found.body)
            note.require_signed_by([self.sequencer.signer.verifier])
        except LogInvalid:
            return None
        return _Published(found.info, note)

    async def _has_published(self, size: int) -> bool:
        """True if the checkpoint in storage has at least this size."""
        published = await self._published()
        return published is not None and Checkpoint.parse(published.note.text).size >= size

    def _has_cosigned(self, note: Note) -> bool:
        """True if the checkpoint has the cosignature: another worker may have added it."""
        try:
            return bool(cosigned_by(note, [self.key]))
        except LogInvalid:
            return False  # it was replaced

    def _note_size(self, size: int) -> None:
        self._cosigned_size = size
        metrics.LOG_COSIGNED_SIZE.labels(self.witness.name).set(size)

    async def _cosignatures(self, note: Note, checkpoint: Checkpoint) -> list[Signature] | None:
        """The witness's cosignatures; None if another worker has had it cosign a newer checkpoint.

        If it knows another size than we remember, it is asked once more.
        """
        status, answer = await self._post(note, checkpoint)
        if status == httpx.codes.CONFLICT:
            self._cosigned_size = _size_in(answer)
            if self._cosigned_size > checkpoint.size and await self._has_published(self._cosigned_size):
                return None
            status, answer = await self._post(note, checkpoint)
        if status != httpx.codes.OK:
            raise WitnessFailed(f"status {status}")
        return self._verified(note, answer)

    async def _post(self, note: Note, checkpoint: Checkpoint) -> tuple[int, bytes]:
        """Send a checkpoint with the proof that it continues the last one. Returns status and body."""
        known, size = self._cosigned_size, checkpoint.size
        if known > size:
            raise WitnessFailed(f"it saw {known} entries of this log, which has {size}: it was rolled back")
        reader = LogReader(fetch_from(self.sequencer.storage), [self.sequencer.signer.verifier])
        try:
            proof = await reader.prove_consistency(known, size)
        except LogInvalid as error:  # the log grew, so the partial tiles of this size were removed
            raise WitnessFailed(f"the tiles give no proof: {error}") from error
        hashes = "".join(f"{base64.b64encode(one).decode()}\n" for one in proof)
        own = tuple(one for one in note.signatures if one.is_of(self.sequencer.signer.verifier))
        body = f"old {known}\n{hashes}\n".encode() + Note(note.text, own).render()
        url = f"{self.witness.url}/add-checkpoint"
        try:
            async with self.client.stream("POST", url, content=body) as answer:
                return answer.status_code, await _bounded(answer)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise WitnessFailed(f"no answer: {type(error).__name__}") from error

    def _verified(self, note: Note, answer: bytes) -> list[Signature]:
        """The lines of the answer that the witness signed; other lines are ignored."""
        try:
            lines = answer.decode().removesuffix("\n").split("\n")
            answered = Note(note.text, tuple(map(Signature.parse, lines)))
            found = [one.signature for one in cosigned_by(answered, [self.key])]
        except (LogInvalid, UnicodeDecodeError) as error:
            raise WitnessFailed(f"its answer is malformed: {error}") from error
        if not found:
            raise WitnessFailed("its answer has no signature of its key")
        return found

    async def _add(self, text: str, signatures: Sequence[Signature]) -> bool:
        """Add cosignatures to the checkpoint. False if its text is another one by now, or the log is locked.

        The lock keeps this put from colliding with those of the sequencer and of other witnesses.
        """
        sequencer = self.sequencer
        async with sequencer.database.transaction() as lock:
            if not await rows.try_log_lock(lock):
                return False
            published = await self._published()
            if published is None or published.note.text != text:
                return False
            others = tuple(one for one in published.note.signatures if not one.is_of(self.key))
            body = replace(published.note, signatures=(*others, *signatures)).render()
            await sequencer.replace_checkpoint(body, published.info)
        log.info("checkpoint_cosigned", witness=self.witness.name, size=self._cosigned_size)
        return True


def _size_in(answer: bytes) -> int:
    """The size of the tree that a witness last cosigned, from its status 409. Raises WitnessFailed."""
    if (match := _SIZE.fullmatch(answer)) is None:
        raise WitnessFailed("status 409 without a size")
    return int(match[1])


async def _bounded(answer: httpx.Response) -> bytes:
    body = b""
    async for piece in answer.aiter_bytes():
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            raise WitnessFailed(f"its answer has more than {MAX_ANSWER_BYTES} bytes")
    return body


@asynccontextmanager
async def open_witnesses(
    sequencer: Sequencer | None, witnesses: Sequence[Witness]
) -> AsyncIterator[list[Asking]]:
    """The configured witnesses; none if there is no log."""
    if sequencer is None or not witnesses:
        yield []
        return
    async with httpx.AsyncClient(timeout=TIMEOUT_S, verify=trusted_authorities()) as client:
        yield [Asking(sequencer, witness, client) for witness in witnesses]
