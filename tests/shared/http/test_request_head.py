"""The request head as parsed, which may differ from the bytes that were sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.http.request_head import (
    MAX_HEAD_BYTES,
    HeadRefused,
    _is_plain,
    _rewritten,
    canonical_head,
    require_begun_head,
)


def head(line: bytes, *lines: bytes) -> bytes:
    """A head of these lines."""
    return b"\r\n".join([line, *lines, b"", b""])


@pytest.mark.parametrize(
    ("lines", "read"),
    [
        ([b"GET /a HTTP/1.1", b"Host: x"], [b"GET /a HTTP/1.1", b"Host: x"]),
        (
            [b"GET /a HTTP/1.1", b"HOST:x \t", b"Origin:\t https://y \t ", b"X-Empty: \t"],
            [b"GET /a HTTP/1.1", b"host: x", b"origin: https://y", b"x-empty: "],
        ),
        (
            [b"POST /a HTTP/1.1", b"Host: x", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c"],
            [b"POST /a HTTP/1.1", b"host: x", b"connection: Upgrade, HTTP2-Settings"],
        ),
        ([b"GET /a HTTP/1.0", b"Expect: 100-continue"], [b"GET /a HTTP/1.0"]),
        (
            [b"GET /a HTTP/1.1", b"Host: x ", b"Expect: 100-continue"],
            [b"GET /a HTTP/1.1", b"host: x", b"expect: 100-continue"],
        ),
        (
            ["GET /é?q=hél HTTP/1.1".encode(), b"Host: x", b"X-High: \xe9"],
            [b"GET /%C3%A9?q=h%C3%A9l HTTP/1.1", b"host: x", b"x-high: \xe9"],
        ),
        ([b"GET http://y/a?b HTTP/1.1", b"Host: x"], [b"GET /a?b HTTP/1.1", b"host: y"]),
        ([b"GET HTTPS://y:443?b HTTP/1.1", b"Host: x"], [b"GET /?b HTTP/1.1", b"host: y:443"]),
        ([b"OPTIONS * HTTP/1.1", b"Host:"], [b"OPTIONS * HTTP/1.1", b"host: "]),
        ([b"", b"GET /a HTTP/1.1", b"Host: [::1]:80"], [b"GET /a HTTP/1.1", b"host: [::1]:80"]),
    ],
)
def test_a_head_is_read_in_one_form(lines: list[bytes], read: list[bytes]) -> None:
    """Blanks, upgrades and forms of a target are normalised before the application sees them."""
    assert canonical_head(head(*lines)) == head(*read)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /a HTTP/2.0", 505),
        (b"GET /a HTTP/1.2", 505),
        (b"GET /a HTTP/11", 400),
        (b"GET  /a HTTP/1.1", 400),
        (b"GET /a  HTTP/1.1", 400),
        (b" GET /a HTTP/1.1", 400),
        (b"CONNECT x:443 HTTP/1.1", 400),
    ],
)
def test_no_other_request_line_is_read(line: bytes, status: int) -> None:
    """The line is refused at once, before the rest of the head arrives."""
    with pytest.raises(HeadRefused):
        require_begun_head(line + b"\r\n")
    with pytest.raises(HeadRefused) as refused:
        canonical_head(head(line, b"Host: x"))
    assert refused.value.status == status


@pytest.mark.parametrize(
    "target", [b"a", b"*", b"ftp://x/a", b"http:///a", b"http://user@y/a", b"http://y y"]
)
def test_no_other_target_is_read(target: bytes) -> None:
    """A path, an `http` or `https` URI with a host, or the `*` of OPTIONS (RFC 9112, 3.2)."""
    with pytest.raises(HeadRefused):
        canonical_head(head(b"GET " + target + b" HTTP/1.1", b"Host: x"))


@pytest.mark.parametrize(
    "begun",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"PRI * HTTP/2.0\r\n",
        b"GET / HTTP/1.1\n",
        b"GET / HTTP/1.1\r\nHost: x\n",
        b"GET / HTTP/1.1\rHost",
        b"GET / HTTP/1.1\r\nX: \x00",
        b"\n",
        b"GET /" + b"a" * 9000,
        b"GET / HTTP/1.1\r\nX: " + b"a" * MAX_HEAD_BYTES,
    ],
)
def test_what_cannot_become_a_head_is_refused_at_once(begun: bytes) -> None:
    """The refusal does not wait for the end of the head."""
    with pytest.raises(HeadRefused):
        require_begun_head(begun)


Line = st.builds(
    lambda name, value: name + b":" + value,
    st.sampled_from(
        [b"Host", b"host", b"Accept", b"Upgrade", b"Content-Length", b"Hosts", b"X", b"x y", b""]
    ),
    st.sampled_from([b" x", b"x", b" 5", b"", b" x ", b"x\t", b" a b", b" \xe9", b" \x00"]),
)


@given(
    target=st.sampled_from([b"/", b"/a?b", "/é".encode(), b"http://x/", b"*", b"a", b"/ a"]),
    lines=st.lists(Line, max_size=4),
)
def test_a_head_that_is_taken_as_it_is_would_be_rewritten_to_the_same(
    target: bytes, lines: list[bytes]
) -> None:
    """A single check of a whole plain head agrees with the checks of each line."""
    whole = head(b"GET " + target + b" HTTP/1.1", *lines)
    if _is_plain(whole):
        assert canonical_head(whole) == whole
        assert _rewritten(whole).lower().replace(b": ", b":") == whole.lower().replace(b": ", b":")


@given(place=st.integers(0, 60), blanks=st.text(" \t", max_size=3))
def test_whatever_begins_a_head_that_is_read_may_go_on(place: int, blanks: str) -> None:
    """No head is refused because it arrives in pieces."""
    whole = head(b"GET /a?b HTTP/1.1", b"Host: x" + blanks.encode(), b"X-High: \xe9\xff", b"Empty:")
    canonical_head(whole)
    require_begun_head(whole[:place])
    require_begun_head(whole[:place], max(place - 1, 0))


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_a_head_or_refused(data: bytes) -> None:
    """A parsed head, rendered, is parsed to the same head."""
    try:
        read = canonical_head(b"GET /a HTTP/1.1\r\nHost: x\r\nX:" + data + b"\r\n\r\n")
    except HeadRefused:
        return
    assert canonical_head(read) == read
