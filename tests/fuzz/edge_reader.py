"""The requests that a tier behind the shipped nginx reads from a stream of bytes."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from starlette.types import Message, Receive, Scope, Send

from shared.http.guarded_protocol import GuardedProtocol
from tests.edge.nginx import running_nginx
from tests.fuzz.request_readers import Reading, Request, noted_request, read_request
from tests.shared.http.asgi import live
from tests.stack import serving

# How long to wait for the edge: for requests that are expected, and for additional ones.
DEADLINE_S: Final = 20.0
QUIET_S: Final = 0.2
STREAMS_AT_ONCE: Final = 16
TOLD: Final = b"x-read"
REFUSAL: Final = re.compile(rb"HTTP/1\.1 ([45][0-9]{2}) ")


class EdgeReader:
    """nginx in front of an application whose answers contain what it read."""

    def __init__(self) -> None:
        self.address = ("", 0)
        # Over all streams: what the application read, and which part of that clients received.
        self.read_at_tier = self.heard = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read a request and answer with it."""
        if scope["type"] != "http":
            await live(receive, send)
        elif (request := await read_request(scope, receive)) is not None:
            self.read_at_tier += scope["raw_path"] not in (b"/healthz", b"/readyz")
            told = json.dumps([part.hex() if isinstance(part, bytes) else part for part in request])
            headers = [(b"content-length", b"0"), (TOLD, told.encode())]
            start: Message = {"type": "http.response.start", "status": 200, "headers": headers}
            await send(start)
            await send({"type": "http.response.body"})

    async def read(self, data: bytes, expected: int) -> Reading:
        """Send a stream. expected: requests to wait for, unless the connection is closed before."""
        reader, writer = await asyncio.open_connection(*self.address)
        heard, is_closed = b"", False
        try:
            writer.write(data)
            while not is_closed:
                is_all = len(_told(heard)) >= expected or REFUSAL.search(heard) is not None
                async with asyncio.timeout(QUIET_S if is_all else DEADLINE_S):
                    part = await reader.read(1 << 16)
                heard, is_closed = heard + part, not part
        except TimeoutError:
            pass
        except ConnectionError:
            is_closed = True
        finally:
            writer.close()
        requests = _told(heard)
        self.heard += len(requests)
        refusals = REFUSAL.findall(heard)
        end = "refused" if refusals else "closed" if is_closed else "open"
        return Reading(requests, end, b", ".join(refusals).decode())


def _told(heard: bytes) -> list[Request]:
    found = [json.loads(told) for told in re.findall(rb"(?i)^x-read: (.*)\r$", heard, re.MULTILINE)]
    return [
        noted_request(method, bytes.fromhex(target), bytes.fromhex(body)) for method, target, body in found
    ]


@asynccontextmanager
async def edge_reader(directory: Path) -> AsyncIterator[EdgeReader]:
    """nginx with the shipped files, before one tier. directory: new."""
    reader = EdgeReader()
    async with serving(reader, GuardedProtocol) as tier:
        host = tier.removeprefix("http://")
        async with running_nginx(directory, [host], [host]) as url:
            address, _, port = url.removeprefix("http://").partition(":")
            reader.address = (address, int(port))
            yield reader


async def edge_differences(
    edge: EdgeReader, streams: Sequence[bytes], ours: Sequence[Reading]
) -> list[tuple[bytes, Reading, Reading]]:
    """The streams that a tier reads differently behind nginx: stream, without nginx, behind nginx.

    A server that refuses or closes may have read less than the other, but nothing else. nginx accepts lines
    that end without a carriage return, and drops trailers that it cannot read; the tier refuses such streams.
    """
    pairs = list(zip(streams, ours, strict=True))
    behind = await asyncio.gather(*(edge.read(data, len(reading.requests)) for data, reading in pairs))
    return [
        (data, one, other)
        for (data, one), other in zip(pairs, behind, strict=True)
        if not _is_prefix(one, other) and not _is_prefix(other, one)
    ]


def _is_prefix(one: Reading, other: Reading) -> bool:
    """True if one read the same as the other, up to the point where it refused or closed."""
    length = len(one.requests)
    is_whole = length == len(other.requests) or one.end != "open"
    return is_whole and one.requests == other.requests[:length]
