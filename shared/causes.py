"""Finds the root cause of an error, as a driver, a client library or the system reported it, for the log."""

from __future__ import annotations

import errno
from collections.abc import Iterator


def causes_of(error: BaseException | None) -> Iterator[BaseException]:
    """The error and its causes, in order: ours, SQLAlchemy's, its dialect's, the driver's."""
    while error is not None:
        yield error
        error = getattr(error, "orig", None) or error.__cause__


def root_of(error: BaseException) -> BaseException:
    """The first error that led to this one; this one itself if there is none."""
    *_, root = causes_of(error)
    return root


def cause_of(error: BaseException) -> str:
    """The message of the root, on one line, or its type if it has none.

    The details that Postgres adds to its message are left out, because they contain values of rows.
    """
    root = root_of(error)
    message = root.args[0] if _sqlstate_of(root) and root.args else root
    return " ".join(str(message).split()) or type(root).__name__


def code_of(error: BaseException) -> str | None:
    """The root's code: of S3 (`AccessDenied`), of the system (`ENOSPC`), an SQLSTATE; None if it has none."""
    root = root_of(error)
    if isinstance(root, OSError) and root.errno is not None and root.errno in errno.errorcode:
        return errno.errorcode[root.errno]
    # The attribute of botocore's ClientError, which is not imported here.
    answer = getattr(root, "response", None)
    if isinstance(answer, dict) and "Error" in answer:
        return str(answer["Error"].get("Code", ""))
    return _sqlstate_of(root)


def _sqlstate_of(error: BaseException) -> str | None:
    return getattr(error, "sqlstate", None)
