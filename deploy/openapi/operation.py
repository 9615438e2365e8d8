"""One operation of the document, of either tier. No HTTP and no JSON here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from shared.errors import RegistryError


@dataclass(frozen=True, slots=True)
class Parameter:
    """kind: the msgspec type. Path parameters are always required, others never."""

    name: str
    place: Literal["path", "query", "header"]
    kind: Any
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A success. model: a msgspec type; None for bytes or no body. headers: names, without x-request-id."""

    status: int
    description: str
    media_type: str | None = None
    model: Any = None
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method on one path.

    body: media type and model of the request, None without a body; a model of None means bytes.
    security: alternatives, each a map from scheme to scopes; an empty map allows anonymous requests. host: a
    server other than the document's own.
    server than the document's own.
    """

    method: str
    path: str
    name: str
    tag: str
    description: str
    parameters: tuple[Parameter, ...] = ()
    body: tuple[str, Any] | None = None
    answers: tuple[Answer, ...]
    errors: tuple[type[RegistryError], ...] = ()
    security: tuple[dict[str, tuple[str, ...]], ...] = ()
    host: str | None = None
