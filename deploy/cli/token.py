"""`x07-registry token`: credentials, seen and made by whoever can reach the database."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from deploy.cli.administration import By, act, checked_handle, moment, print_done, print_rows
from deploy.cli.options import AsJson, print_json

if TYPE_CHECKING:
    from deploy.administration.queries import TokenRow

SCOPES = ("publish", "token.manage", "owner.manage", "admin")

app = typer.Typer(help="Make, list and revoke tokens.", no_args_is_help=True)


def _checked_scopes(value: str) -> str:
    scopes = [scope.strip() for scope in value.split(",") if scope.strip()]
    wrong = [scope for scope in scopes if scope not in SCOPES]
    if wrong or not scopes:
        given = f'"{wrong[0]}" is not a scope' if wrong else "no scope is named"
        raise typer.BadParameter(f"{given}; allowed: {', '.join(SCOPES)}")
    return ",".join(scopes)


Handle = Annotated[
    str, typer.Option(help="User the token belongs to; made when missing.", callback=checked_handle)
]
Scopes = Annotated[
    str, typer.Option(help=f"Comma-separated, of {', '.join(SCOPES)}.", callback=_checked_scopes)
]
Label = Annotated[str, typer.Option(help="What the token is for; shown in lists of tokens.")]
OfHandle = Annotated[
    str | None,
    typer.Option("--handle", metavar="HANDLE", help="Only this user's.", callback=checked_handle),
]
TokenId = Annotated[UUID, typer.Argument(metavar="ID", help="As `token list` shows it.")]


@app.callback()
def token() -> None:
    """Make, list and revoke tokens."""


@app.command()
def create(handle: Handle, scopes: Scopes, label: Label = "", as_json: AsJson = False) -> None:
    """Make a token and print it, once: only its hash is kept."""
    from api.write.endpoint import Scope
    from deploy.bootstrap import create_token
    from shared.settings import load_settings
    from shared.telemetry import configure_logging

    settings = load_settings()
    configure_logging(settings)
    wanted = [Scope(scope) for scope in scopes.split(",")]
    secret = asyncio.run(create_token(settings, handle, wanted, label))
    if as_json:
        print_json({"ok": True, "token": secret, "handle": handle, "scopes": sorted(wanted), "label": label})
    else:
        print(secret)


@app.command("list")
def list_tokens(handle: OfHandle = None, as_json: AsJson = False) -> None:
    """List tokens, newest first, revoked ones included; never the secret or its hash."""
    from deploy.administration import queries

    print_rows(lambda tx: queries.tokens(tx, handle), _line, as_json)


@app.command()
def revoke(token_id: TokenId, by: By = "admin", as_json: AsJson = False) -> None:
    """Revoke a token, whoever has it; one that is revoked stays so. Exits with 1 if there is none."""
    from api.write.tokens import revoke_token

    act(by, lambda services, caller: revoke_token(services, caller, token_id))
    print_done(as_json, f"revoked {token_id}", revoked=str(token_id))


def _line(row: TokenRow) -> str:
    state = f"revoked {moment(row.revoked_at)}" if row.revoked_at else f"used {moment(row.last_used_at)}"
    return f"{row.id}  {row.handle:<24}  {','.join(row.scopes):<40}  {state}  {row.label}"
