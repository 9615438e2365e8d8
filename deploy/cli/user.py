"""`x07-registry user`: lists, shows and creates users."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from deploy.cli.administration import HandleArgument, ask, moment, print_done, print_rows
from deploy.cli.options import AsJson, print_json

if TYPE_CHECKING:
    from deploy.administration.queries import UserRow

app = typer.Typer(help="List, show and create users.", no_args_is_help=True)
LAYOUT = "{:<24}  {:<20}  {:<24}  {:>6}  {:>8}"
HEADING = LAYOUT.format("HANDLE", "CREATED", "ORIGIN", "TOKENS", "PACKAGES")


@app.command("list")
def list_users(as_json: AsJson = False) -> None:
    """List users by handle, with creation time, origin, valid tokens and owned packages."""
    from deploy.administration import queries

    print_rows(queries.users, _line, as_json, HEADING)


@app.command()
def show(handle: HandleArgument, as_json: AsJson = False) -> None:
    """Show a user with owned packages. Exits with 1 if the user does not exist."""
    from deploy.administration import queries
    from shared.errors import NotFound

    user = ask(lambda tx: queries.user(tx, handle))
    if user is None:
        raise NotFound(f'there is no user "{handle}"')
    if as_json:
        print_json(user)
    else:
        print(HEADING, _line(user), *(f"  owns {package}" for package in user.packages), sep="\n")


@app.command()
def create(handle: HandleArgument, as_json: AsJson = False) -> None:
    """Create a user. Nothing changes if the user exists.

    As in the older server, the person who signs in with the GitHub login of that name gets the account,
    unless the account holds a token with the scope admin.
    """
    from deploy.bootstrap import create_user

    is_new = ask(lambda tx: create_user(tx, handle))
    text = f"created {handle}" if is_new else f"{handle} exists already"
    print_done(as_json, text, handle=handle, created=is_new)


def _line(user: UserRow) -> str:
    origin = f"github:{user.github_login}" if user.github_login else user.created_via
    return LAYOUT.format(user.handle, moment(user.created_at), origin, user.tokens, len(user.packages))
