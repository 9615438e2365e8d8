"""Fuzzes the framing of requests against h11, llhttp, nginx: `python -m tests.fuzz.requests --seconds 60`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from tests.edge.nginx import find_nginx
from tests.fuzz.edge_reader import STREAMS_AT_ONCE, edge_differences, edge_reader
from tests.fuzz.request_readers import (
    NO_NODE,
    LlhttpReader,
    Reading,
    differences,
    llhttp_reader,
    read_every_way,
)
from tests.fuzz.request_streams import stream

NO_NGINX: Final = "nginx is not here: no stream of requests went through the edge"


async def run(seconds: float, seed: int, directory: Path) -> Counter[str]:
    """The number of streams by their end.

    Raises AssertionError with a stream that others read differently.
    """
    ends: Counter[str] = Counter()
    until = time.monotonic() + seconds
    async with AsyncExitStack() as stack:
        llhttp = stack.enter_context(llhttp_reader())
        edge = await stack.enter_async_context(edge_reader(directory)) if find_nginx() else None
        for is_here, missing in ((llhttp, NO_NODE), (edge, NO_NGINX)):
            if is_here is None:
                print(missing, file=sys.stderr)
        while time.monotonic() < until:
            begin = seed + ends.total()
            streams = [stream(random.Random(begin + number)) for number in range(STREAMS_AT_ONCE)]
            readings = [await _read(data, llhttp) for data in streams]
            found = [] if edge is None else await edge_differences(edge, streams, readings)
            assert not found, f"behind nginx other requests are read: {found}"
            ends.update(reading.end for reading in readings)
    return ends


async def _read(data: bytes, llhttp: LlhttpReader | None) -> Reading:
    """Our reading of a stream. Raises AssertionError if it depends on the pieces or on the reader."""
    ours = await read_every_way(data)
    found = differences(ours, data, llhttp)
    assert not found, f"{data!r}: we read {ours}, {found}"
    return ours


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    arguments = parser.parse_args()
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    print(f"seed {arguments.seed}", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        ends = asyncio.run(run(arguments.seconds, arguments.seed, Path(directory) / "edge"))
    print(f"{ends.total()} streams read alike: {dict(ends)}")


if __name__ == "__main__":
    main()
