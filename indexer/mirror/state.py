"""The state that a mirror keeps between runs, in `.x07-mirror/state.json`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

FOLDER: Final = ".x07-mirror"
EVERYTHING: Final = ("*",)


class State(msgspec.Struct, kw_only=True):
    """url: of the origin. vkey: of its log, if it had one. packages: patterns of names that are mirrored.

    again: packages that differed, which the next run checks first. etags: of the origin's files that the
    mirror copies unchanged, by key.
    """

    url: str = ""
    vkey: str | None = None
    packages: tuple[str, ...] = EVERYTHING
    again: tuple[str, ...] = ()
    etags: dict[str, str] = msgspec.field(default_factory=dict)


def load_state(root: Path) -> State:
    """The state of a mirror; empty before its first run. Raises OSError."""
    path = root / FOLDER / "state.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=State)
    except FileNotFoundError:
        return State()
    except msgspec.MsgspecError as error:
        raise OSError(f"{path} cannot be read: {error}") from error


def save_state(root: Path, state: State) -> None:
    """Save the state atomically. Raises OSError."""
    _write(root / FOLDER / "state.json", msgspec.json.encode(state))


def keep_evidence(root: Path, checkpoint: bytes) -> Path:
    """Keep a signed checkpoint that contradicts the mirror's own. Returns its path. Raises OSError."""
    path = root / FOLDER / "contradicts"
    _write(path, checkpoint)
    return path


def _write(path: Path, body: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name(f"{path.name}.new")
    with temporary.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
