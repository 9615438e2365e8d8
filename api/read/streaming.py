"""Streams bodies that are too big for the cache, at the reader's pace and in bounded memory."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.types import Receive, Send

from api.read.answer import BlobAnswer
from api.read.gate import ByteGate
from shared.errors import AnswerCut, RegistryError, Unavailable
from shared.storage.interface import Missing, Opened, Readable

STREAMS_AT_ONCE: Final = 48
# One piece being sent and one in the transport's buffer.
STREAM_BYTES: Final = 2 * 256 * 1024
WAIT_FOR_A_PLACE_S: Final = 10.0


class BlobChanged(Exception):
    """The blob was put again after its headers were decided and before anything was sent."""


class Streams:
    """Limits how many big bodies are sent at once. Other requests wait, and are refused after a while."""

    def __init__(self, tree: Readable, capacity_bytes: int) -> None:
        """capacity_bytes: total size of the buffers of all streams."""
        self._tree = tree
        self._gate = ByteGate(capacity_bytes)
        self._weight_bytes = max(STREAM_BYTES, capacity_bytes // STREAMS_AT_ONCE)

    async def send(self, answer: BlobAnswer, receive: Receive, send: Send) -> None:
        """Send head and body.

        Before anything is sent, raises BlobChanged, Unavailable when too many other streams run, and the
        errors of storage. Afterwards it raises AnswerCut.
        """
        place = self._gate.admit(self._weight_bytes)
        try:
            async with asyncio.timeout(WAIT_FOR_A_PLACE_S):
                await place.__aenter__()
        except TimeoutError:
            raise Unavailable("too many downloads at once, try again") from None
        try:
            await self._open(answer, receive, send)
        finally:
            await place.__aexit__(None, None, None)

    async def _open(self, answer: BlobAnswer, receive: Receive, send: Send) -> None:
        info, span = answer.representation.info, answer.span
        if span is None:
            raise RuntimeError("an answer without a body is not streamed")
        async with self._tree.open(info.key, start=span.start, end=span.end) as opened:
            if isinstance(opened, Missing) or opened.info.revision != info.revision:
                raise BlobChanged
            gone = asyncio.create_task(_gone(receive))
            try:
                await send({"type": "http.response.start", "status": answer.status, "headers": answer.fields})
                await _send_pieces(opened, gone, send)
            except RegistryError as error:
                raise AnswerCut(error.code) from error
            finally:
                gone.cancel()


async def _send_pieces(opened: Opened, gone: asyncio.Task[None], send: Send) -> None:
    async for piece in opened.chunks:
        if gone.done():
            return
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        # This call returns when the reader has taken the piece; only then is the next one read.
        await send({"type": "http.response.body", "body": b"", "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _gone(receive: Receive) -> None:
    """Return when the client has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        pass
