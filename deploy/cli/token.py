"""`x07-registry token`: credentials made by whoever can reach the database."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

SCOPES = ("publish", "token.manage", "owner.manage", "admin")

app = typer.Typer(help="Make tokens.", no_args_is_help=True)


def _checked_handle(value: str) -> str:
    from shared.errors import InvalidName
    from shared.names import parse_handle

    try:
        return parse_handle(value)
    except InvalidName as error:
        raise typer.BadParameter(error.message) from None


def _checked_scopes(value: str) -> str:
    scopes = [scope.strip() for scope in value.split(",") if scope.strip()]
    wrong = [scope for scope in scopes if scope not in SCOPES]
    if wrong or not scopes:
        given = f'"{wrong[0]}" is not a scope' if wrong else "no scope is named"
        raise typer.BadParameter(f"{given}; allowed: {', '.join(SCOPES)}")
    return ",".join(scopes)


Handle = Annotated[
    str, typer.Option(help="User the token belongs to; made when missing.", callback=_checked_handle)
]
Scopes = Annotated[
    str, typer.Option(help=f"Comma-separated, of {', '.join(SCOPES)}.", callback=_checked_scopes)
]
Label = Annotated[str, typer.Option(help="What the token is for; shown in lists of tokens.")]


@app.callback()
def token() -> None:
    """Make tokens."""


@app.command()
def create(handle: Handle, scopes: Scopes, label: Label = "") -> None:
    """Make a token and print it, once: only its hash is kept."""
    from api.write.endpoint import Scope
    from deploy.bootstrap import create_token
    from shared.settings import load_settings
    from shared.telemetry import configure_logging

    settings = load_settings()
    configure_logging(settings)
    print(asyncio.run(create_token(settings, handle, [Scope(scope) for scope in scopes.split(",")], label)))
