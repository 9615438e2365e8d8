"""Writes the findings of a long command to stdout: one line per finding, or one JSON document."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import msgspec

from deploy.cli.options import printable


class Findings:
    """Writes findings in constant memory.

    The JSON document is `{"command":…,"findings":[…],"ok":…,"complete":…,…}` with one finding per line. It is
    valid JSON even if the command is stopped: then `complete` is false and `ok` is null.
    """

    def __init__(self, command: str, *, as_json: bool) -> None:
        self._command = command
        self._as_json = as_json
        self._count = 0

    def __enter__(self) -> Self:
        """Begin the document."""
        if self._as_json:
            print(f'{{"command":"{self._command}","findings":[', end="")
        return self

    def add(self, text: str, **fields: Any) -> None:
        """Write a finding: the text as a line, or the fields as JSON."""
        if self._as_json:
            print(",\n" if self._count else "\n", _json(fields), sep="", end="", flush=True)
        else:
            print(printable(text), flush=True)
        self._count += 1

    def end(self, ok: bool, text: str, **fields: Any) -> None:
        """End the output of a complete run. text: the last line. fields: totals."""
        if self._as_json:
            self._close({"ok": ok, "complete": True, **fields})
        else:
            print(text)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the document of an interrupted command."""
        if error is not None and self._as_json:
            self._close({"ok": None, "complete": False})

    def _close(self, fields: dict[str, Any]) -> None:
        print(f"\n],{_json(fields).removeprefix('{')}", flush=True)


def _json(fields: dict[str, Any]) -> str:
    """Compact JSON. Fields that are None are left out, except `ok`."""
    kept = {name: value for name, value in fields.items() if value is not None or name == "ok"}
    return msgspec.json.encode(kept).decode()
