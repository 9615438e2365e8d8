"""`x07-registry serve`: one HTTP process, as operators run the tiers apart."""

from __future__ import annotations

import socket
from typing import Annotated

import typer

from deploy.app_kind import AppKind
from deploy.cli.options import Bind, given

Kind = Annotated[AppKind, typer.Argument(help="write: the API; read: index and archives; all: both.")]
Descriptor = Annotated[int | None, typer.Option(help="A listening socket, inherited.", hidden=True)]


def serve(kind: Kind, bind: Bind = None, fd: Descriptor = None) -> None:
    """Serve the write API, the read service, or both on one address.

    The write API needs the database and storage; the read service needs storage only.
    """
    from deploy.serve import run, run_on
    from shared.settings import load_settings
    from shared.telemetry import configure_logging

    settings = load_settings(**given(bind=bind))
    configure_logging(settings)
    if fd is None:
        run(kind, settings)
    else:
        run_on(kind, settings, socket.socket(fileno=fd))
