"""Targets are percent-decoded strictly."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse

from shared.errors import BadRequest
from shared.http.path import PathMiddleware, decode_path
from tests.shared.http.plain import client_of

texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(texts)
def test_what_was_quoted_is_decoded(text: str) -> None:
    """UTF-8, percent-encoded with hex digits of either case."""
    quoted = quote(text, safe="")
    lowered = re.sub("%..", lambda escape: escape[0].lower(), quoted)
    assert decode_path(quoted.encode()) == decode_path(lowered.encode()) == text


@pytest.mark.parametrize(
    "raw", [b"/%", b"/%4", b"/%zz", b"/%%41", b"/a%g0", b"/\xff", b"/%ff", b"/%e0%80", b"/%ed%a0%80"]
)
def test_broken_escapes_and_bytes_that_are_not_utf8_are_refused(raw: bytes) -> None:
    """This includes overlong forms and lone surrogates."""
    with pytest.raises(BadRequest):
        decode_path(raw)


@given(st.binary())
def test_any_bytes_are_text_or_refused(raw: bytes) -> None:
    """There is no other exception, so no path causes a 500."""
    try:
        decode_path(raw)
    except BadRequest:
        return


def test_a_plus_stays_a_plus() -> None:
    """It is part of versions with build metadata."""
    assert decode_path(b"/1.0.0+b") == "/1.0.0+b"


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/a%20b", 200),
        ("/a?q=100%", 200),
        ("/a?q=%C3%A9", 200),
        ("/%zz", 400),
        ("/%ff", 400),
        ("/a?q=%ff", 400),
    ],
)
async def test_the_middleware_refuses_what_does_not_decode(target: str, status: int) -> None:
    """A broken escape in a query is taken literally, as form decoding does."""
    async with client_of(_ok) as http:
        answer = await http.get(http.base_url.copy_with(raw_path=target.encode()))
    assert answer.status_code == status
    if status == 400:
        assert answer.json()["code"] == "X07REG_BAD_REQUEST"


_ok = PathMiddleware(PlainTextResponse("ok"))
