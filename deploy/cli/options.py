"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated, Any

import typer

Bind = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Address to listen on; port 0 takes any free one.",
        show_default="X07_REGISTRY_BIND, or 127.0.0.1:8080",
    ),
]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Deep = Annotated[bool, typer.Option("--deep", help="Read and hash every byte that is stored.")]
After = Annotated[
    str, typer.Option(metavar="NAME", help="Look only at packages behind this name, in byte order.")
]


def given(**options: Any) -> dict[str, Any]:
    """The options that were given: those override the environment."""
    return {name: value for name, value in options.items() if value is not None}


def print_json(value: Any) -> None:
    """Print a value as one line of JSON."""
    print(render_json(value))


def render_json(value: Any) -> str:
    """A value that msgspec can encode, as compact JSON."""
    import msgspec

    return msgspec.json.encode(value).decode()
