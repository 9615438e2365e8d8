"""JSON bodies (contract, 1.3, 1.4 and 1.8): decodes requests strictly and writes answers compactly.

Bounds on a body's values are part of its model's types, so the OpenAPI document shows them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Final, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from shared.errors import BadRequest, PayloadTooLarge, UnprocessableBody, UnsupportedMediaType
from shared.strict_json import JsonInvalid, RepeatedKey, parse_json
from shared.text import lower_ascii, trim

MAX_BODY_BYTES: Final = 2 * 1024 * 1024
INLINE_BYTES: Final = 16 * 1024
MAX_REASON_CHARS: Final = 300

StoredText = Annotated[str, msgspec.Meta(pattern="^[^\\u0000]*$")]
"""Text for a database column: Postgres text stores every character except NUL."""

Model = TypeVar("Model", bound=msgspec.Struct)


async def decode_body(request: Request, model: type[Model]) -> Model:
    """Decode the request's JSON body as the model. Fields that the model does not have are ignored.

    Raises UnsupportedMediaType; PayloadTooLarge over 2 MiB; BadRequest for a body that is not strict JSON
    (1.8); UnprocessableBody for JSON of another shape, or with a field of the model twice.
    """
    if not _is_json(request.headers.get("content-type", "")):
        raise UnsupportedMediaType
    body = await read_body(request)
    if len(body) <= INLINE_BYTES:
        return parse_body(body, model)
    return await asyncio.to_thread(parse_body, body, model)


def parse_body(body: bytes, model: type[Model]) -> Model:
    """Decode JSON text as the model. Raises BadRequest and UnprocessableBody."""
    known = frozenset(field.encode_name for field in msgspec.structs.fields(model))
    try:
        return msgspec.convert(parse_json(body, known_keys=known), model)
    except RepeatedKey as error:
        raise UnprocessableBody(_reason(error)) from None
    except JsonInvalid as error:
        raise BadRequest(_reason(error)) from None
    except msgspec.ValidationError as error:
        raise UnprocessableBody(_reason(error)) from None


def json_response(
    body: msgspec.Struct, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """An `application/json` response without a charset, as the contract requires."""
    return Response(
        msgspec.json.encode(body), status_code=status, headers=headers, media_type="application/json"
    )


def _is_json(content_type: str) -> bool:
    """True for application/json and application/*+json, with any parameters (RFC 9110, 8.3.1)."""
    kind, _, subtype = lower_ascii(trim(content_type.partition(";")[0])).partition("/")
    return kind == "application" and (subtype == "json" or subtype.endswith("+json"))


async def read_body(request: Request) -> bytes:
    """The raw body. Raises PayloadTooLarge over 2 MiB, BadRequest for one that breaks off."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise PayloadTooLarge
    except ClientDisconnect:
        raise BadRequest("request broke off") from None
    return bytes(body)


def _reason(error: Exception) -> str:
    """The decoder's message, shortened because it may quote a value of any length."""
    return str(error)[:MAX_REASON_CHARS]
