"""Decodes JSON that somebody else's server sent. Whatever its bytes are, there is one kind of error."""

from __future__ import annotations

from typing import TypeVar

import msgspec

T = TypeVar("T")


def decode_foreign(body: bytes | msgspec.Raw, kind: type[T]) -> T:
    """The value of a JSON text. Raises msgspec.MsgspecError.

    msgspec has errors of other kinds for text that is not UTF-8, and for text that is nested so deeply that
    Python's limit of recursion is reached.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError("it is not UTF-8") from error
    except RecursionError as error:
        raise msgspec.DecodeError("it is nested too deeply") from error
