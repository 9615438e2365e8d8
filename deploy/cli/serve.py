"""`x07-registry serve`: HTTP processes, as operators run the tiers apart."""

from __future__ import annotations

import asyncio
import socket
from typing import Annotated

import typer

from deploy.app_kind import AppKind
from deploy.cli.options import Bind, given

Kind = Annotated[AppKind, typer.Argument(help="write: the API; read: index and archives; all: both.")]
Descriptor = Annotated[int | None, typer.Option(help="A listening socket, inherited.", hidden=True)]


Workers = Annotated[
    int,
    typer.Option(
        min=1,
        max=256,
        help="Read processes that share the address, one a core. "
        "Each has metrics of its own, at ports one by one.",
    ),
]


def serve(kind: Kind, bind: Bind = None, workers: Workers = 1, fd: Descriptor = None) -> None:
    """Serve the write API, the read service, or both on one address.

    The write API needs the database and storage; the read service needs storage only.
    """
    from deploy.serve import run, run_on
    from deploy.signals import run_until_stopped
    from deploy.workers import run_workers
    from shared.settings import load_settings
    from shared.telemetry import configure_logging
    from shared.tracing import start_tracing

    if workers > 1 and kind is not AppKind.READ:
        raise typer.BadParameter("only the read service runs in several processes", param_hint="--workers")
    settings = load_settings(**given(bind=bind))
    configure_logging(settings)
    if workers > 1:
        asyncio.run(run_until_stopped(run_workers(settings, workers)))
        return
    start_tracing(settings, kind)
    if fd is not None:
        run_on(kind, settings, socket.socket(fileno=fd))
    else:
        run(kind, settings)
