"""Path parameters as typed values. Each function raises the contract's error for a bad value."""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID

from starlette.requests import Request

from shared.errors import BadRequest
from shared.names import Handle, PackageName, parse_name, read_handle
from shared.text import lower_ascii
from shared.versions import VersionText, parse_version

_HYPHENATED: Final = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_UUID: Final = re.compile(
    rf"{_HYPHENATED}|[0-9a-f]{{32}}|\{{{_HYPHENATED}\}}|urn:uuid:{_HYPHENATED}", re.IGNORECASE
)


def path_name(request: Request) -> PackageName:
    """The package name in `{name}`. Raises InvalidName."""
    return parse_name(request.path_params["name"])


def path_version(request: Request) -> VersionText:
    """The version in `{version}`. Raises InvalidVersion."""
    return parse_version(request.path_params["version"])


def path_handle(request: Request) -> Handle:
    """The user handle in `{handle}`, in any form that people may write. Raises InvalidName."""
    return read_handle(request.path_params["handle"])


def path_uuid(request: Request, parameter: str) -> UUID:
    """The UUID in a parameter. Raises BadRequest."""
    return parse_uuid(request.path_params[parameter])


def parse_uuid(text: str) -> UUID:
    """A UUID in one of four forms (contract, 1.4), any case. Raises BadRequest.

    `UUID(text)` alone accepts more, because it drops hyphens and braces anywhere.
    """
    if not _UUID.fullmatch(text):
        raise BadRequest("not a UUID")
    return UUID(lower_ascii(text))
