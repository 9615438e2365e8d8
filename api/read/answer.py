"""The status and headers of an answer that carries a blob (contract, 1.7; RFC 9110, 13 to 15).

Pure functions. The ASGI application and the fast path both use them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from api.read.representation import Representation
from api.read.routes import BlobRoute
from shared.http.conditional import ByteRange, is_not_modified, requested_range

Fields = list[tuple[bytes, bytes]]

STALE: Final = (b"x-x07-stale", b"true")
VARY: Final = (b"vary", b"accept-encoding")
OF_ARCHIVES: Final = ((b"accept-ranges", b"bytes"), (b"x-content-type-options", b"nosniff"))


@dataclass(frozen=True, slots=True)
class BlobAnswer:
    """An answer that carries a representation, or a 304 that says it has not changed.

    span: the bytes of the body to send; None: no body at all (304, HEAD).
    """

    status: int
    fields: Fields
    representation: Representation
    span: ByteRange | None


def answer_of(
    route: BlobRoute,
    representation: Representation,
    request: Mapping[bytes, Sequence[str]],
    *,
    is_head: bool,
    is_stale: bool = False,
) -> BlobAnswer:
    """The answer to a GET or HEAD. request: the values of each header, names in lower case.

    Raises RangeNotSatisfiable.
    """
    validators = validator_fields(route, representation)
    if is_stale:
        validators.append(STALE)
    if is_not_modified(request.get(b"if-none-match", ()), representation.etag):
        return BlobAnswer(304, validators, representation, None)
    whole = ByteRange(0, representation.size_bytes, representation.size_bytes)
    # Ranges apply to GET only (RFC 9110, 14.2); HEAD describes the whole body.
    span = _asked_range(route, representation, request) if route.is_archive and not is_head else None
    part = [(b"content-range", span.content_range.encode())] if span is not None else []
    fields = validators + content_fields(route, representation, span or whole) + part
    return BlobAnswer(
        200 if span is None else 206, fields, representation, None if is_head else span or whole
    )


def validator_fields(route: BlobRoute, representation: Representation) -> Fields:
    """The headers of a 200 that a 304 repeats (RFC 9110, 15.4.5), and those of archives and pages."""
    fields = [
        (b"etag", representation.etag.encode()),
        (b"cache-control", route.cache_control.encode()),
    ]
    if route.is_archive:
        fields += OF_ARCHIVES
    if route.has_variants:
        fields.append(VARY)
    fields += route.fields
    return fields


def private_fields(fields: Fields) -> Fields:
    """The same headers for an answer that no shared cache may keep (RFC 9111, 5.2.2.7)."""
    found = [
        (name, b"private, " + value.removeprefix(b"public, ") if name == b"cache-control" else value)
        for name, value in fields
    ]
    return [*found, (b"vary", b"authorization")]


def content_fields(route: BlobRoute, representation: Representation, span: ByteRange) -> Fields:
    """Headers that describe the body."""
    fields = [(b"content-type", route.content_type.encode())]
    if representation.coding is not None:
        fields.append((b"content-encoding", representation.coding.encode()))
    fields.append((b"content-length", str(span.end - span.start).encode()))
    return fields


def _asked_range(
    route: BlobRoute, representation: Representation, request: Mapping[bytes, Sequence[str]]
) -> ByteRange | None:
    """The range of the request. Raises RangeNotSatisfiable."""
    ranges, conditions = request.get(b"range", ()), request.get(b"if-range", ())
    return requested_range(
        ", ".join(ranges) if ranges else None,
        ", ".join(conditions) if conditions else None,
        representation.etag,
        representation.size_bytes,
    )
