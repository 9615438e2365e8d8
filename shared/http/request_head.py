"""Checks request heads and rewrites them for the parser (RFC 9112, 2 to 7).

httptools accepts more than HTTP/1.1: it treats the bytes after an `Upgrade` or a CONNECT as another protocol,
and accepts HTTP/0.9, HTTP/2.0, RTSP and ICE, a transfer coding in HTTP/1.0, and white space after a value. A
complete head is checked here first, and the parser gets it in a canonical form, so that it enters none of
these states.

Pure functions over bytes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

# The defaults of nginx: 8 KiB for the request line, 32 KiB in all.
MAX_TARGET_BYTES: Final = 8 * 1024
MAX_HEAD_BYTES: Final = 32 * 1024
MAX_HEADERS: Final = 100
END_OF_HEAD: Final = b"\r\n\r\n"
# Characters that a Host must not have; those of a URI's host and port are allowed (RFC 3986, 3.2.2).
HOST_BYTES: Final = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%!$&'()*+,;=:[]"

_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE: Final = re.compile(rb"(%s) ([\x21-\x7e\x80-\xff]+) HTTP/([0-9]\.[0-9])" % _TOKEN)
_FIELD: Final = re.compile(rb"(%s):([\t\x20-\x7e\x80-\xff]*)" % _TOKEN)
_ABSOLUTE: Final = re.compile(rb"https?://(?P<host>[^/?#]+)(?P<path>[^#]*)", re.IGNORECASE)
# The head of most clients, which is in canonical form except for the case of names.
_PLAIN_LINE: Final = (
    rb"(?:(?!(?i:host|content-length|transfer-encoding|upgrade|http2-settings):)%s:[\t\x20-\x7e\x80-\xff]*\r\n)*"
    % _TOKEN
)
_PLAIN: Final = re.compile(
    rb"[A-Z]+ /[\x21-\x7e]{0,%d} HTTP/1\.1\r\n" % (MAX_TARGET_BYTES - 1)
    + _PLAIN_LINE
    + rb"(?i:host): ?[%s]*\r\n" % re.escape(HOST_BYTES)
    + _PLAIN_LINE
    + rb"\r\n"
)
_NOT_ASCII: Final = re.compile(rb"[\x80-\xff]")
# A control character, a line feed without its carriage return, or the other way round.
_BROKEN: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<!\r)\n|\r(?=[^\n])")
_OWS: Final = b" \t"
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
# Ignored: upgrades, which we do not offer (RFC 9110, 7.8), and expectations in HTTP/1.0 (RFC 9110, 10.1.1).
_IGNORED: Final = {
    b"1.0": (b"upgrade", b"http2-settings", b"expect"),
    b"1.1": (b"upgrade", b"http2-settings"),
}

Field = tuple[bytes, bytes]


class HeadRefused(Exception):
    """The bytes are not a request that this server reads. status: 4xx or 505. message: for people."""

    def __init__(self, status: int = 400, message: str = "request is not HTTP") -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def require_begun_head(begun: bytes, start: int = 0) -> None:
    """Raise HeadRefused if no valid head begins like this, whatever follows.

    start: the bytes before it were checked already, with the same beginning of the first line.
    """
    line, ended, _ = begun.removeprefix(b"\r\n").partition(b"\r\n")
    if ended:
        _parse_request_line(line)
    elif len(line) > MAX_TARGET_BYTES:
        _require_short_target(line.partition(b" ")[2])
    if _BROKEN.search(begun, start):
        raise HeadRefused
    if len(begun) > MAX_HEAD_BYTES:
        raise HeadRefused(431, "request headers are too long")


def canonical_head(head: bytes) -> bytes:
    """The head in canonical form. head: up to and including END_OF_HEAD; an empty line before it is ignored.

    White space around values is removed, bytes beyond ASCII in the target are percent-encoded, an absolute
    target is split into path and Host (RFC 9112, 3.2.2), and fields that HTTP says to ignore are left out.
    Raises HeadRefused.
    """
    if len(head) > MAX_HEAD_BYTES:
        raise HeadRefused(431, "request headers are too long")
    return head if _is_plain(head) else _rewritten(head)


def _rewritten(head: bytes) -> bytes:
    """See canonical_head. Raises HeadRefused."""
    first, *lines = head.removeprefix(b"\r\n").removesuffix(END_OF_HEAD).split(b"\r\n")
    method, target, version = _parse_request_line(first)
    if len(lines) > MAX_HEADERS:
        raise HeadRefused(431, "request has too many headers")
    fields = [_parse_field(line) for line in lines]
    _require_one_host(fields, version)
    _require_plain_framing(fields, version)
    kept = [field for field in fields if field[0] not in _IGNORED[version]]
    if (absolute := _ABSOLUTE.fullmatch(target)) is not None:
        target = absolute["path"] if absolute["path"].startswith(b"/") else b"/" + absolute["path"]
        kept = [field for field in kept if field[0] != b"host"]
        kept.append((b"host", _parse_host(absolute["host"])))
    elif not target.startswith(b"/") and (method, target) != (b"OPTIONS", b"*"):
        raise HeadRefused
    target = _NOT_ASCII.sub(lambda byte: b"%%%02X" % byte[0][0], target)
    return b"".join(
        (
            b"%s %s HTTP/%s\r\n" % (method, target, version),
            *(b"%s: %s\r\n" % field for field in kept),
            b"\r\n",
        )
    )


def _is_plain(head: bytes) -> bool:
    """True for a head that needs no rewriting, which one regular expression finds out quickly."""
    return (
        _PLAIN.fullmatch(head) is not None
        and b" \r\n" not in head
        and b"\t\r\n" not in head
        and head.count(b"\r\n") <= MAX_HEADERS + 2
    )


def _parse_request_line(line: bytes) -> tuple[bytes, bytes, bytes]:
    """Method, target and version. Raises HeadRefused."""
    if (match := _REQUEST_LINE.fullmatch(line)) is None:
        raise HeadRefused
    method, target, version = match.groups()
    if version not in (b"1.0", b"1.1"):
        raise HeadRefused(505, "this server speaks HTTP/1.1; HTTP/2 is for a proxy in front of it to speak")
    _require_short_target(target)
    if method == b"CONNECT":
        raise HeadRefused(message="CONNECT asks for a proxy, and this server is none")
    return method, target, version


def _require_short_target(target: bytes) -> None:
    if len(target) > MAX_TARGET_BYTES:
        raise HeadRefused(414, "request target is too long")


def _parse_field(line: bytes) -> Field:
    """Name in lower case, and value without the white space around it (RFC 9110, 5.5). Raises HeadRefused.

    A tab after a transfer coding is refused: llhttp takes it as part of the value, and would then read a
    request with an upgrade as one without a body.
    """
    if (match := _FIELD.fullmatch(line)) is None:
        raise HeadRefused
    name, value = match[1].lower(), match[2].lstrip(_OWS)
    if name == b"transfer-encoding" and b"\t" in value:
        raise HeadRefused
    return name, value.rstrip(_OWS)


def _values(fields: Sequence[Field], name: bytes) -> list[bytes]:
    return [value for one, value in fields if one == name]


def _require_one_host(fields: Sequence[Field], version: bytes) -> None:
    """Require exactly one valid Host (RFC 9112, 3.2). Raises HeadRefused."""
    hosts = _values(fields, b"host")
    if len(hosts) > 1 or (not hosts and version != b"1.0"):
        raise HeadRefused(message="a request needs exactly one Host header")
    for host in hosts:
        _parse_host(host)


def _parse_host(host: bytes) -> bytes:
    """A host, with or without port. Raises HeadRefused."""
    if host.translate(None, HOST_BYTES):
        raise HeadRefused(message="the Host header names no host")
    return host


def _require_plain_framing(fields: Sequence[Field], version: bytes) -> None:
    """Require one length, or chunks, or no body (RFC 9112, 6). Raises HeadRefused."""
    lengths, codings = _values(fields, b"content-length"), _values(fields, b"transfer-encoding")
    is_chunked = [coding.lower() for coding in codings] == [b"chunked"] and version == b"1.1"
    if (
        len(lengths) + len(codings) > 1
        or any(_LENGTH.fullmatch(length) is None for length in lengths)
        or (codings and not is_chunked)
    ):
        raise HeadRefused
