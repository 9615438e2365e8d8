"""What a long command finds, on stdout as it goes: a line each, or one JSON document."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import msgspec


class Findings:
    """Writes findings in constant memory.

    The JSON document is `{"command":…,"findings":[…],"ok":…,"complete":…,…}` with one finding a line. It
    is valid JSON also when the command is stopped: then `complete` is false and `ok` is null.
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
        """Tell one finding: a line for people, or these fields."""
        if self._as_json:
            print(",\n" if self._count else "\n", _json(fields), sep="", end="", flush=True)
        else:
            print(text, flush=True)
        self._count += 1

    def end(self, ok: bool, text: str, **fields: Any) -> None:
        """The command came to its end. text: the last line for people. fields: totals."""
        if self._as_json:
            self._close({"ok": ok, "complete": True, **fields})
        else:
            print(text)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End a document that was cut off."""
        if error is not None and self._as_json:
            self._close({"ok": None, "complete": False})

    def _close(self, fields: dict[str, Any]) -> None:
        print(f"\n],{_json(fields).removeprefix('{')}", flush=True)


def _json(fields: dict[str, Any]) -> str:
    """Compact JSON; what is None is left out, but for `ok`."""
    kept = {name: value for name, value in fields.items() if value is not None or name == "ok"}
    return msgspec.json.encode(kept).decode()
