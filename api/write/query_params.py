"""Query parameters of lists. They are parsed strictly, and unknown ones are ignored (contract, 1.4, 6.6)."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import unquote_to_bytes

from msgspec import Meta
from starlette.requests import Request

from api.write.endpoint import QueryParameter
from shared.errors import BadRequest
from shared.text import trim

DEFAULT_LIMIT: Final = 20
MAX_LIMIT: Final = 100
MAX_U32: Final = 2**32 - 1

LIMIT: Final = QueryParameter(
    "limit",
    Annotated[int, Meta(ge=0, le=MAX_U32)],
    f"Entries per page, {DEFAULT_LIMIT} when absent; more than {MAX_LIMIT} counts as {MAX_LIMIT}.",
)
OFFSET: Final = QueryParameter(
    "offset", Annotated[int, Meta(ge=0, le=MAX_U32)], "Entries before the page, 0 when absent."
)


_U32: Final = re.compile(r"\+?0*([0-9]{1,10})")
_FLAGS: Final = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list. limit: 0 to MAX_LIMIT. offset: 0 to MAX_U32."""

    limit: int
    offset: int

    @property
    def end(self) -> int:
        """The offset after the page."""
        return self.offset + self.limit


class QueryParameters:
    """The parameters of one request. A parameter may be given once. An empty value is not an absent one."""

    def __init__(self, query_string: bytes) -> None:
        """query_string: as it was sent. Raises BadRequest if the decoded bytes are not UTF-8."""
        self._values: defaultdict[str, list[str]] = defaultdict(list)
        for pair in query_string.split(b"&"):
            key, _, value = pair.partition(b"=")
            self._values[_decoded(key)].append(_decoded(value))

    def text(self, key: str) -> str:
        """The parameter trimmed; empty when it is absent. Raises BadRequest: given twice, or with NUL."""
        value = trim(self._one(key) or "")
        if "\0" in value:
            raise BadRequest(f"query parameter {key} must not contain NUL")
        return value

    def flag(self, key: str) -> bool:
        """True for `true`; false for `false` or when it is absent. Raises BadRequest."""
        value = self._one(key)
        if value is None:
            return False
        if value not in _FLAGS:
            raise BadRequest(f"query parameter {key} must be true or false")
        return _FLAGS[value]

    def page(self) -> Page:
        """`limit`, silently at most MAX_LIMIT, and `offset`. Raises BadRequest."""
        return Page(min(self._number("limit", DEFAULT_LIMIT), MAX_LIMIT), self._number("offset", 0))

    def _number(self, key: str, default: int) -> int:
        value = self._one(key)
        if value is None:
            return default
        match = _U32.fullmatch(value)
        number = int(match[1]) if match else MAX_U32 + 1
        if number > MAX_U32:
            raise BadRequest(f"query parameter {key} must be an integer from 0 to {MAX_U32}")
        return number

    def _one(self, key: str) -> str | None:
        values = self._values.get(key, [])
        if len(values) > 1:
            raise BadRequest(f"query parameter {key} was given more than once")
        return values[0] if values else None


def query_parameters(request: Request) -> QueryParameters:
    """The parameters of a request. Raises BadRequest."""
    return QueryParameters(request.scope["query_string"])


def _decoded(part: bytes) -> str:
    try:
        return unquote_to_bytes(part.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        raise BadRequest("query is not UTF-8") from None
