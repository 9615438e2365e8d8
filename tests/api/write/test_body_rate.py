"""The minimum rate of a body counts only time in which the server waits for the client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from api.write import body_rate
from api.write.body_rate import BodyRate, BodyRateMiddleware
from shared.errors import BodyTooSlow
from shared.settings import Settings


@pytest.mark.parametrize(
    ("received_bytes", "allowed_s"), [(0, 10), (4096, 11), (40_960, 20), (1 << 20, 60), (1 << 30, 60)]
)
def test_what_was_sent_buys_time_up_to_the_deadline(received_bytes: int, allowed_s: float) -> None:
    """After 10 s the average counts; the server never waits beyond the deadline."""
    assert BodyRate(4096, 60).allowed_wait_s(received_bytes) == allowed_s


def test_without_a_least_rate_the_deadline_stays() -> None:
    """0 turns the rate off."""
    assert BodyRate(0, 60).allowed_wait_s(0) == 60


async def read_body(settings: Settings, receive: Any, *, pause_s: float = 0) -> int:
    """Read a body through the middleware, pausing before each part as a throttle does. Returns its bytes."""
    size = 0

    async def app(scope: Any, timed: Any, send: Any) -> None:
        nonlocal size
        is_whole = False
        while not is_whole:
            await asyncio.sleep(pause_s)
            message = await timed()
            size, is_whole = size + len(message["body"]), not message["more_body"]

    async def send(message: Any) -> None:
        raise AssertionError("nothing is sent")

    await BodyRateMiddleware(app, settings)({"type": "http"}, receive, send)
    return size


def parts(count: int) -> Iterator[dict[str, Any]]:
    """A body of this many bytes, each in a part of its own."""
    for number in range(1, count + 1):
        yield {"type": "http.request", "body": b"x", "more_body": number < count}


async def test_the_server_s_own_pauses_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A publisher whom the throttle slows down, or whose bytes wait for the disk, is fast enough."""
    monkeypatch.setattr(body_rate, "GRACE_S", 0.2)
    body = parts(6)

    async def receive() -> dict[str, Any]:
        return next(body)

    assert await read_body(Settings(body_min_bytes_per_second=1_000_000), receive, pause_s=0.1) == 6


async def test_a_client_that_pauses_for_longer_than_its_bytes_allow_is_too_slow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each part arrives soon, but the average is below the rate."""
    monkeypatch.setattr(body_rate, "GRACE_S", 0.2)
    body = parts(1000)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.05)
        return next(body)

    with pytest.raises(BodyTooSlow, match="at least 1000 bytes a second, and the whole body within 900 s"):
        await read_body(Settings(body_min_bytes_per_second=1000), receive)


async def test_a_body_that_takes_longer_than_the_deadline_is_too_slow() -> None:
    """The body never ends, however fast it arrives."""
    body = parts(1 << 20)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.01)
        return next(body)

    with pytest.raises(BodyTooSlow):
        await read_body(Settings(body_min_bytes_per_second=0, body_seconds=1), receive)
