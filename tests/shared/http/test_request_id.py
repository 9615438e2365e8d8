"""Request ids, and answers to unexpected exceptions."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.testing import capture_logs

from shared.http.request_id import RequestIdMiddleware, RequestIds
from tests.shared.http.plain import client_of


async def fails_at_once(scope: Scope, receive: Receive, send: Send) -> None:
    """Raises before it answers."""
    raise LookupError("a secret detail")


async def fails_midway(scope: Scope, receive: Receive, send: Send) -> None:
    """Raises after sending half a body."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
    await send({"type": "http.response.body", "body": b"half.", "more_body": True})
    raise LookupError("a secret detail")


async def fails_afterwards(scope: Scope, receive: Receive, send: Send) -> None:
    """Raises after a complete answer."""
    await PlainTextResponse("whole")(scope, receive, send)
    raise LookupError("a secret detail")


def test_ids_look_like_uuids_and_never_repeat() -> None:
    """32 lower-case hex digits, of version 4."""
    source = RequestIds()
    ids = [source.next() for _ in range(1000)]
    assert len(set(ids)) == len(ids)
    for text in ids:
        parsed = uuid.UUID(hex=text)
        assert (parsed.hex, parsed.version, parsed.variant) == (text, 4, uuid.RFC_4122)


def test_processes_do_not_share_ids() -> None:
    """Each source has its own prefix."""
    assert len({RequestIds().next()[:22] for _ in range(100)}) == 100


async def test_an_id_of_the_client_is_ignored() -> None:
    """The application sees the id of the answer, and no other."""
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["state"]["request_id"])
        await PlainTextResponse("ok")(scope, receive, send)

    async with client_of(RequestIdMiddleware(app)) as http:
        answers = [await http.get("/", headers={"x-request-id": "f" * 32}) for _ in range(3)]
    assert [answer.headers.get_list("x-request-id") for answer in answers] == [[text] for text in seen]
    assert len({*seen, "f" * 32}) == 4


async def test_an_unexpected_exception_is_a_json_500_and_is_logged_once() -> None:
    """The answer does not reveal the cause; the log has it, with the same id."""
    with capture_logs() as logs:
        answer = await get(fails_at_once)
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/json")
    assert answer.json() == {
        "code": "X07REG_INTERNAL",
        "message": "internal error",
        "request_id": answer.headers["x-request-id"],
    }
    events = [(entry["event"], entry["request_id"]) for entry in logs]
    assert events == [("unhandled_exception", answer.headers["x-request-id"])]


async def test_half_a_body_never_looks_whole() -> None:
    """The connection ends instead."""
    with capture_logs() as logs, pytest.raises(httpx.RemoteProtocolError):
        await get(fails_midway)
    assert [entry["event"] for entry in logs] == ["unhandled_exception"]


async def test_an_exception_after_the_answer_leaves_the_connection_usable() -> None:
    """The client has the whole answer; the operator has the log."""
    app = RequestIdMiddleware(fails_afterwards)
    with capture_logs() as logs:
        async with client_of(app) as http:
            answers = [await http.get("/") for _ in range(2)]
    assert [answer.text for answer in answers] == ["whole", "whole"]
    assert [entry["event"] for entry in logs] == ["unhandled_exception"] * 2


async def get(app: Callable[..., object]) -> httpx.Response:
    """One GET of an application behind the middleware."""
    guarded: ASGIApp = RequestIdMiddleware(app)  # type: ignore[arg-type]
    async with client_of(guarded) as http:
        return await http.get("/")
