"""JSON bodies: which are refused with which status, and that no input causes a 500."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from api.write.json_body import MAX_BODY_BYTES, StoredText, decode_body, parse_body
from shared.errors import BadRequest, PayloadTooLarge, UnprocessableBody, UnsupportedMediaType


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """A body like those of the registry."""

    label: Annotated[StoredText, msgspec.Meta(max_length=8)] = ""
    yanked: bool
    url: StoredText | None = None


def post(*chunks: bytes, content_type: str | None = "application/json", breaks_off: bool = False) -> Request:
    """A request whose body arrives in these chunks."""
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append(
        {"type": "http.disconnect"}
        if breaks_off
        else {"type": "http.request", "body": b"", "more_body": False}
    )
    headers = [] if content_type is None else [(b"content-type", content_type.encode())]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


async def test_a_body_is_decoded_and_unknown_fields_are_ignored() -> None:
    """The body may arrive in any chunks, and an unknown field may occur twice."""
    body = b'{"x":{"y":[1]},"yanked":true,"x":null}'
    for chunks in ([body], [body[:5], body[5:]], [body[i : i + 1] for i in range(len(body))]):
        assert await decode_body(post(*chunks), Sample) == Sample(yanked=True)


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        " application/json ;x=y",
        "application/problem+json",
    ],
)
async def test_content_types_that_are_json(content_type: str) -> None:
    """Any case, any parameters, and the +json suffix."""
    assert (await decode_body(post(b'{"yanked":true}', content_type=content_type), Sample)).yanked


@pytest.mark.parametrize(
    "content_type",
    [None, "", "text/json", "application/jsonp", "text/plain", "application", "json", "application/json+xml"],
)
async def test_another_content_type_is_415(content_type: str | None) -> None:
    """This is decided before the body is read."""
    with pytest.raises(UnsupportedMediaType):
        await decode_body(post(content_type=content_type), Sample)


async def test_a_body_over_2_mib_is_413() -> None:
    """The size is counted as the body arrives, whatever was declared.

    Exactly 2 MiB is decoded off the event loop.
    """

    with pytest.raises(PayloadTooLarge):
        await decode_body(post(*[bytes(65536)] * 33), Sample)
    head, tail = b'{"yanked":true,"pad":"', b'"}'
    full = head + b"x" * (MAX_BODY_BYTES - len(head) - len(tail)) + tail
    assert (await decode_body(post(full), Sample)).yanked
    with pytest.raises(PayloadTooLarge):
        await decode_body(post(full + b" "), Sample)


async def test_a_body_that_breaks_off_is_400() -> None:
    """Nobody reads the answer, but it is not an internal error."""
    with pytest.raises(BadRequest):
        await decode_body(post(b'{"yanked":', breaks_off=True), Sample)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"yanked":true}x',
        b"{'yanked':true}",
        b'\xef\xbb\xbf{"yanked":true}',
        b'{"yanked":true,"label":"\xff"}',
        b'{"yanked":true,"label":"\\ud800"}',
        b'{"yanked":true,"x":"\\udc00"}',
        b'{"yanked":true,"x":NaN}',
        b'{"yanked":true,"x":1e999}',
        b'{"yanked":true,"x":' + b"[" * 128 + b"]" * 128 + b"}",
        b'{"yanked":true,"label":"a\nb"}',
    ],
)
def test_what_is_not_strict_json_is_400(body: bytes) -> None:
    """Contract, 1.8: UTF-8 without BOM, no lone surrogates, no NaN, bounded depth."""
    with pytest.raises(BadRequest):
        parse_body(body, Sample)


@pytest.mark.parametrize(
    "body",
    [
        b"null",
        b"[]",
        b"[true]",
        b'"x"',
        b"{}",
        b'{"yanked":null}',
        b'{"yanked":1}',
        b'{"yanked":"true"}',
        b'{"yanked":true,"yanked":true}',
        b'{"yanked":true,"label":"a","label":"b"}',
        b'{"yanked":true,"label":null}',
        b'{"yanked":true,"label":"123456789"}',
        b'{"yanked":true,"label":"\\u0000"}',
        b'{"yanked":true,"url":"x\\u0000\\n"}',
        b'{"yanked":true,"url":7}',
    ],
)
def test_json_of_another_shape_is_422(body: bytes) -> None:
    """A missing field, a wrong type, null for absent, a known field twice, too long a text, NUL."""
    with pytest.raises(UnprocessableBody):
        parse_body(body, Sample)


def test_a_refusal_says_where_and_stays_short() -> None:
    """The message names the field and does not repeat a huge value."""
    with pytest.raises(UnprocessableBody, match=r"\$\.yanked"):
        parse_body(b'{"yanked":"x"}', Sample)
    with pytest.raises(UnprocessableBody, match='duplicate field "yanked"'):
        parse_body(b'{"yanked":true,"yanked":true}', Sample)

    class Choice(msgspec.Struct):
        """A field with few values."""

        kind: Annotated[str, msgspec.Meta(pattern="^a$")]

    with pytest.raises(UnprocessableBody) as refusal:
        parse_body(json.dumps({"kind": "b" * 100_000}).encode(), Choice)
    assert len(refusal.value.message) <= 300


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["label", "yanked", "url", "x"]), inner),
    max_leaves=8,
)


@given(
    json_values.map(lambda value: json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass"))
    | st.binary()
)
def test_no_bytes_make_anything_but_a_sample_or_a_4xx(body: bytes) -> None:
    """An accepted body can be stored."""
    try:
        sample = parse_body(body, Sample)
    except (BadRequest, UnprocessableBody):
        return
    assert not re.search("[\0\ud800-\udfff]", sample.label + (sample.url or ""))
