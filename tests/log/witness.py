"""A witness on a port of its own (c2sp.org/tlog-witness), written from the standard for tests.

It stores the last tree head of the log that it cosigned, as a witness must. Tests can make it slow, make it
fail, and change its answers.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from nacl.signing import SigningKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from indexer.log.checkpoint import Checkpoint, cosigned_message
from indexer.log.invalid import LogInvalid
from indexer.log.note import Note, Signature, VerifierKey
from indexer.log.tree import check_consistency
from shared.verifier_keys import COSIGNATURE
from tests.stack import serving


@dataclass
class PlayedWitness:
    """One witness. log: the key of the only log that it knows. asked: the requests that it received."""

    log: VerifierKey
    name: str = "witness.example/w1"
    seed: bytes = b"w" * 32
    url: str = ""
    head: Checkpoint | None = None
    asked: list[tuple[int, int, int]] = field(default_factory=list)
    """Old size, size of the checkpoint, status of the answer."""
    held: asyncio.Event | None = None
    """Answers wait until this is set."""
    answer: bytes | None = None
    status: int | None = None

    @property
    def key(self) -> VerifierKey:
        """Its public key."""
        return VerifierKey(self.name, bytes(SigningKey(self.seed).verify_key), COSIGNATURE)

    @property
    def setting(self) -> str:
        """Its entry for X07_REGISTRY_LOG_WITNESSES."""
        return f"{self.key} {self.url}/"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[PlayedWitness]:
        """Serve it while the block runs."""
        app = Starlette(routes=[Route("/w1/add-checkpoint", self._add_checkpoint, methods=["POST"])])
        async with serving(app) as base:
            self.url = f"{base}/w1"
            yield self

    async def _add_checkpoint(self, request: Request) -> Response:
        old, proof, note = _parse(await request.body())
        if self.held is not None:
            await self.held.wait()
        answer = self._judge(old, proof, note)
        if self.status is not None:
            answer = Response(status_code=self.status)
        if self.answer is not None and answer.status_code == 200:
            answer = Response(self.answer)
        self.asked.append((old, Checkpoint.parse(note.text).size, answer.status_code))
        return answer

    def _judge(self, old: int, proof: list[bytes], note: Note) -> Response:
        """The standard's checks, in its order."""
        checkpoint = Checkpoint.parse(note.text)
        if checkpoint.origin != self.log.name:
            return Response(status_code=404)
        try:
            note.require_signed_by([self.log])
        except LogInvalid:
            return Response(status_code=403)
        if old > checkpoint.size:
            return Response(status_code=400)
        known = 0 if self.head is None else self.head.size
        if old != known:
            return Response(f"{known}\n", 409, media_type="text/x.tlog.size")
        if self.head is not None:
            try:
                check_consistency(old, checkpoint.size, self.head.root, checkpoint.root, proof)
            except LogInvalid:
                return Response(status_code=422)
        elif proof:
            return Response(status_code=422)
        self.head = checkpoint
        return Response(self.cosign(note.text))

    def cosign(self, text: str, timestamp: int | None = None) -> bytes:
        """Its signature line for a checkpoint's text."""
        stamp = int(time.time()) if timestamp is None else timestamp
        raw = SigningKey(self.seed).sign(cosigned_message(stamp, text)).signature
        line = Signature(self.name, self.key.key_id, stamp.to_bytes(8, "big") + raw).render()
        return line.encode()


def _parse(body: bytes) -> tuple[int, list[bytes], Note]:
    head, _, note = body.partition(b"\n\n")
    first, *hashes = head.decode("ascii").split("\n")
    assert first.startswith("old ")
    return int(first.removeprefix("old ")), [base64.b64decode(one) for one in hashes], Note.parse(note)
