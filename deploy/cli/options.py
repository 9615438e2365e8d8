"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

Bind = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Address to listen on; port 0 takes any free one. Or unix:/PATH, for a proxy on this machine.",
        show_default="X07_REGISTRY_BIND, or 127.0.0.1:8080",
    ),
]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Deep = Annotated[bool, typer.Option("--deep", help="Read and hash every stored byte.")]
After = Annotated[
    str, typer.Option(metavar="NAME", help="Check only packages after this name, in byte order.")
]

TokenFile = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="File with a token that may read a private registry."),
]


def parse_folder(text: str) -> Path:
    """The path of a folder that exists or may be created. An empty text is often an unset variable's."""
    if not text:
        raise typer.BadParameter("it is empty")
    if Path(text).is_file():
        raise typer.BadParameter(f"{text} is a file; it must be a directory")
    return Path(text)


def checked_vkey(value: str | None) -> str | None:
    """The key of a log, checked; None if the option is not given. Raises BadParameter."""
    from shared.verifier_keys import parse_verifier_key

    if value is None:
        return None
    try:
        parse_verifier_key(value)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return value.strip()


def read_token(file: Path | None) -> str | None:
    """The token in a file, without white space around it; None without a file."""
    return None if file is None else file.read_text().strip()


def given(**options: Any) -> dict[str, Any]:
    """The options that were given; they override the environment."""
    return {name: value for name, value in options.items() if value is not None}


def printable(line: str) -> str:
    """The line with control characters escaped, because users and other servers write parts of it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def print_json(value: Any) -> None:
    """Print a value as one line of JSON."""
    print(render_json(value))


def render_json(value: Any) -> str:
    """A value that msgspec can encode, as compact JSON."""
    import msgspec

    return msgspec.json.encode(value).decode()
