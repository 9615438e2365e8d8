"""`x07-registry token`: creates, lists and revokes tokens. Needs access to the database."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from deploy.cli.administration import By, act, checked_handle, moment, print_done, print_rows
from deploy.cli.options import AsJson, print_json

if TYPE_CHECKING:
    from deploy.administration.queries import TokenRow

SCOPES = ("publish", "yank", "read", "token.manage", "owner.manage", "admin")

app = typer.Typer(help="Create, list and revoke tokens.", no_args_is_help=True)


def _checked_scopes(value: str) -> str:
    scopes = [scope.strip() for scope in value.split(",") if scope.strip()]
    wrong = [scope for scope in scopes if scope not in SCOPES]
    if wrong or not scopes:
        given = f'"{wrong[0]}" is not a scope' if wrong else "no scope is named"
        raise typer.BadParameter(f"{given}; allowed: {', '.join(SCOPES)}")
    return ",".join(scopes)


def _checked_end(value: str | None) -> str | None:
    if value is not None:
        _end(value)
    return value


def _end(value: str) -> datetime:
    """The moment that `90d` or an RFC 3339 time means. Raises BadParameter."""
    try:
        if value.endswith("d") and value[:-1].isdecimal():
            return datetime.now(UTC) + timedelta(days=int(value[:-1]))
        moment = datetime.fromisoformat(value)
    except (ValueError, OverflowError):
        raise typer.BadParameter("write 90d, or a time such as 2027-01-31T00:00:00Z") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _checked_packages(value: str | None) -> str | None:
    if value is None:
        return None
    from api.write.token_limits import MAX_PATTERNS, PACKAGE_PATTERN

    patterns = [pattern.strip() for pattern in value.split(",")]
    wrong = [pattern for pattern in patterns if not re.match(PACKAGE_PATTERN, pattern)]
    if wrong or len(patterns) > MAX_PATTERNS:
        raise typer.BadParameter(f"up to {MAX_PATTERNS} names or prefixes ending in `*`, comma-separated")
    return ",".join(patterns)


Handle = Annotated[
    str, typer.Option(help="User that the token belongs to; created if missing.", callback=checked_handle)
]
Scopes = Annotated[
    str, typer.Option(help=f"Comma-separated, of {', '.join(SCOPES)}.", callback=_checked_scopes)
]
Expires = Annotated[
    str | None,
    typer.Option(
        metavar="DAYS|TIME",
        help="When the token ends: in so many days (90d), or at a time (2027-01-31T00:00:00Z).",
        show_default="never, or as X07_REGISTRY_TOKEN_MAX_DAYS says",
        callback=_checked_end,
    ),
]
Packages = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES",
        help="The only packages that the token may change: names, and prefixes ending in `*`, "
        "comma-separated.",
        show_default="all of the user's",
        callback=_checked_packages,
    ),
]
Label = Annotated[str, typer.Option(help="A note on the token's purpose, shown in lists.")]
OfHandle = Annotated[
    str | None,
    typer.Option("--handle", metavar="HANDLE", help="Only this user's.", callback=checked_handle),
]
TokenId = Annotated[UUID, typer.Argument(metavar="ID", help="The id that `token list` shows.")]


LAYOUT = "{!s:<36}  {:<24}  {:<49}  {:<28}  {}"
HEADING = LAYOUT.format("ID", "HANDLE", "SCOPES", "STATE", "LABEL")


@app.callback()
def token() -> None:
    """Create, list and revoke tokens."""


@app.command()
def create(
    handle: Handle,
    scopes: Scopes,
    label: Label = "",
    expires: Expires = None,
    packages: Packages = None,
    as_json: AsJson = False,
) -> None:
    """Create a token and print it. It is shown only once, because the registry keeps only its hash."""
    from api.write.endpoint import Scope
    from api.write.token_limits import TokenLimits
    from deploy.bootstrap import create_token
    from deploy.cli.settings import command_settings

    settings = command_settings()
    wanted = [Scope(scope) for scope in scopes.split(",")]
    limits = TokenLimits(_end(expires) if expires else None, tuple(packages.split(",")) if packages else None)
    secret = asyncio.run(create_token(settings, handle, wanted, label, limits))
    if as_json:
        print_json({"ok": True, "token": secret, "handle": handle, "scopes": sorted(wanted), "label": label})
    else:
        print(secret)


@app.command("list")
def list_tokens(handle: OfHandle = None, as_json: AsJson = False) -> None:
    """List tokens, newest first, including revoked ones. Secrets and their hashes are never shown."""
    from deploy.administration import queries

    print_rows(lambda tx: queries.tokens(tx, handle), _line, as_json, HEADING)


@app.command()
def revoke(token_id: TokenId, by: By = None, as_json: AsJson = False) -> None:
    """Revoke a token of any user.

    Nothing changes if it is revoked already. Exits with 1 if it does not exist.
    """
    from api.write.tokens import revoke_token

    act(by, lambda services, caller: revoke_token(services, caller, token_id))
    print_done(as_json, f"revoked {token_id}", revoked=str(token_id))


def _line(row: TokenRow) -> str:
    state = f"revoked {moment(row.revoked_at)}" if row.revoked_at else f"used {moment(row.last_used_at)}"
    end = f"  ends {moment(row.expires_at)}" if row.expires_at else ""
    packages = f"  only {','.join(row.packages)}" if row.packages else ""
    scopes, label = ",".join(row.scopes), f"{row.label}{end}{packages}"
    return LAYOUT.format(row.id, row.handle, scopes, state, label).rstrip()
