"""Streams of bytes that a client might send to an HTTP server: requests, faulty requests, and garbage.

Each target occurs once in a stream, so that two readings of it can be compared. Bodies look like requests for
/hidden.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"
METHODS = [b"GET", b"POST", b"POST", b"POST", b"PUT", b"DELETE", b"HEAD", b"OPTIONS", b"PATCH"]
ODD_METHODS = [
    b"CONNECT",
    b"PRI",
    b"SOURCE",
    b"DESCRIBE",
    b"get",
    b"GE T",
    b"",
    b"M-SEARCH",
    b"\xc3\xa9",
]
ODD_TARGETS = [
    b"*",
    b"",
    b"x:443",
    b"http://y%s",
    b"HTTP://y:8080%s?q=1",
    b"https://y",
    b"%s?q=h\xc3\xa9l",
    b"%s\xff",
    b"%s?a b",
    b"%s\t",
    b"%s\x00",
    b"no-slash%s",
    b"//y%s",
]
ODD_VERSIONS = [b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.2", b"http/1.1", b"RTSP/1.0", b"ICE/1.0", b""]
CONNECTIONS = [
    b"Connection: close",
    b"Connection: keep-alive",
    b"Connection: Upgrade",
    b"Connection: keep-alive, Upgrade",
    b"connection: upgrade, close",
    b"Connection: close \t",
    b"Connection: closed",
    b"Connection:",
    b"Connection: Upgrade, HTTP2-Settings",
    b"Proxy-Connection: close",
]
UPGRADES = [
    b"Upgrade: h2c",
    b"Upgrade: websocket",
    b"upgrade: TLS/1.0, HTTP/1.1",
    b"Upgrade: ",
    b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
]
PLAIN = [
    b"Accept: */*",
    b"User-Agent: curl/8",
    b"Accept-Encoding: gzip \t",
    b"X-Empty:",
    b"X-Tab:\ta\tb\t",
    b"X-High: \xe9\xff",
    b"Expect: 100-continue",
    b"Expect: 200-ok",
    b"TE: trailers",
    b"Trailer: X-After",
    b"Cookie: a=b; c=d",
]
ODD_LINES = [
    b" folded: line",
    b"X-Folded: a\r\n b",
    b"X-Folded: a\r\n\tb",
    b"X-Folded:\r\n b",
    b"No-Colon",
    b"Space : before",
    b"\tTab: before",
    b": no name",
    b"X-Nul: a\x00b",
    b"X-Control: a\x01b",
    b"X-Delete: a\x7f",
    b"X-Cr: a\rb",
    b"X-Lf: a\nb",
    b"X-Lf: a\n",
    b"X-Cr: a\r",
    b'Quo"te: a',
    b"Host: y",
    b"Host: x, y",
    b"Host: a b",
    b"Content-Length: 3",
    b"Content-Length: 0",
    b"Transfer-Encoding: chunked",
]
LENGTHS = [
    b"Content-Length: %d",
    b"content-length:%d",
    b"Content-Length: \t%d \t",
    b"Content-Length: 0%d",
    b"Content-Length: +%d",
    b"Content-Length: -%d",
    b"Content-Length: %d, %d",
    b"Content-Length: %d\r\nContent-Length: %d",
    b"Content-Length: %d 0",
    b"Content-Length: 0x%x",
    b"Content-Length: %d_0",
    b"Content-Length: 99999999999999999999%d",
    b"Content-Length : %d",
    b"Content_Length: %d",
]
CODINGS = [
    b"Transfer-Encoding: chunked",
    b"transfer-encoding:\tCHUNKED \t",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: chunked, gzip",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding:",
    b"Transfer-Encoding: chunked;a=b",
    b'Transfer-Encoding: "chunked"',
    b"Transfer-Encoding:\x0bchunked",
    b"Transfer-Encoding : chunked",
    b"Transfer_Encoding: chunked",
]
SIZES = [
    b"%x",
    b"%X",
    b"0%x",
    b"%x;a=b",
    b'%x;a="b;c\\""',
    b"%x ",
    b" %x",
    b"+%x",
    b"0x%x",
    b"%x;\n",
    b"%x\r",
    b"%xg",
    b"",
]
TRAILERS = [
    b"X-After: a",
    b"Content-Length: 5",
    b"Host: z",
    b" folded",
    b"X-Nul: \x00",
    b"No-Colon",
    b"X-Lf: a\nb",
]
ENDS = [b"\n", b"\r", b"\r\r\n", b"\n\r\n", b"\r\n\r\n", b""]
SPECIAL = [b"\r", b"\n", b"\r\n", b"\x00", b" ", b"\t", b":", b"0", b"\r\n\r\n", b"\xff", b"\x0b", b";"]


def stream(rng: random.Random) -> bytes:
    """Up to four requests, each with a few oddities or none; sometimes one byte is replaced."""
    requests = [_request(rng, b"/r%d" % number) for number in range(rng.randint(1, 4))]
    data = b"".join(requests)
    if rng.random() < 0.05:
        data = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + data
    while rng.random() < 0.1:
        data = _mutate(rng, data)
    return data[: rng.randint(0, len(data))] if rng.random() < 0.1 else data


def pieces(rng: random.Random, data: bytes) -> list[bytes]:
    """The data, cut at up to five places."""
    places = sorted({0, len(data), *(rng.randint(0, len(data)) for _ in range(rng.randint(0, 5)))})
    return [data[start:end] for start, end in pairwise(places)]


def _request(rng: random.Random, path: bytes) -> bytes:
    method, target = _mostly(rng, METHODS, ODD_METHODS), path
    if rng.random() < 0.04:
        target = rng.choice(ODD_TARGETS).replace(b"%s", path)
    version = b"HTTP/1.1" if rng.random() < 0.96 else rng.choice(ODD_VERSIONS)
    lines = [b"Host: x"] if rng.random() < 0.95 else []
    framing, body = _body(rng)
    lines += framing
    if rng.random() < 0.4:
        lines.append(rng.choice(CONNECTIONS))
    if rng.random() < 0.4:
        lines.append(rng.choice(UPGRADES))
    lines += [_mostly(rng, PLAIN, ODD_LINES) for _ in range(rng.randint(0, 3))]
    rng.shuffle(lines)
    before = rng.choice([b"\r\n", b"\n", b"\r\n\r\n", b" "]) if rng.random() < 0.02 else b""
    return before + _joined(rng, [b" ".join([method, target, version]), *lines, b""]) + body


def _body(rng: random.Random) -> tuple[list[bytes], bytes]:
    """Lines that announce a body, and the body."""
    body = rng.choice([HIDDEN, b"", b"hello", b"\r\n\r\n", b"0\r\n\r\n", b"0\r\n\r\n" + HIDDEN])
    kind = rng.random()
    if kind < 0.35:
        return [], rng.choice([b"hello", b"\r\n\r\n", b"0\r\n\r\n"]) if rng.random() < 0.05 else b""
    length = LENGTHS[0] if rng.random() < 0.92 else rng.choice(LENGTHS)
    coding = CODINGS[0] if rng.random() < 0.92 else rng.choice(CODINGS)
    if kind < 0.65:
        return [_numbered(length, len(body))], body
    chunks = _chunks(rng, body)
    return [coding, *([_numbered(length, len(chunks))] if kind > 0.93 else [])], chunks


def _numbered(line: bytes, number: int) -> bytes:
    return line % ((number,) * line.count(b"%"))


def _chunks(rng: random.Random, body: bytes) -> bytes:
    parts = []
    while body:
        cut = rng.randint(1, len(body))
        size = SIZES[0] if rng.random() < 0.97 else rng.choice(SIZES)
        parts += [_numbered(size, cut), body[:cut]]
        body = body[cut:]
    last = rng.choice([b"0"] * 24 + [b"000", b"0;a=b", b"0 ", b"-0", b"00000000000000000000000"])
    trailers = [rng.choice(TRAILERS) for _ in range(rng.randint(0, 2))] if rng.random() < 0.2 else []
    return _joined(rng, [*parts, last, *trailers, b""])


def _joined(rng: random.Random, lines: Sequence[bytes]) -> bytes:
    """Each line with its end, which is usually CRLF."""
    return b"".join(line + (rng.choice(ENDS) if rng.random() < 0.003 else b"\r\n") for line in lines)


def _mostly(rng: random.Random, usual: Sequence[bytes], odd: Sequence[bytes]) -> bytes:
    return rng.choice(odd if rng.random() < 0.03 else usual)


def _mutate(rng: random.Random, data: bytes) -> bytes:
    place = rng.randint(0, len(data))
    length = rng.choice([0, 1, 1, 2, 10])
    return data[:place] + rng.choice([*SPECIAL, b""]) + data[place + length :]
