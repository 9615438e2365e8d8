"""`x07-registry serve`: an HTTP process of one tier or of both."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from deploy.app_kind import AppKind
from deploy.cli.options import Bind, given, parse_folder

Kind = Annotated[AppKind, typer.Argument(help="write: the API; read: index and archives; all: both.")]
Descriptor = Annotated[int | None, typer.Option(help="A listening socket, inherited.", hidden=True)]


Workers = Annotated[
    int,
    typer.Option(
        min=1,
        max=256,
        help="Processes that share the address, one for each core. Each serves its metrics on the next port.",
    ),
]


DataDir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        parser=parse_folder,
        help="Serve this directory, such as a mirror.",
        show_default="the storage of the settings",
    ),
]


def serve(
    kind: Kind, bind: Bind = None, workers: Workers = 1, data_dir: DataDir = None, fd: Descriptor = None
) -> None:
    """Serve the write API, the read service, or both on one address.

    The write API needs the database and storage; the read service needs storage only.
    """
    if kind is AppKind.READ:
        # redis-py imports PyJWT, which imports cryptography if it can: 20 MiB that no reader uses.
        sys.modules["cryptography"] = None  # type: ignore[assignment]
    from deploy.http_workers import run_workers
    from deploy.serve import run, run_on
    from deploy.signals import run_until_stopped
    from shared.settings import load_settings
    from shared.telemetry import configure_logging
    from shared.tracing import start_tracing
    from shared.variables import PREFIX

    if data_dir is not None:  # the processes of --workers inherit it
        os.environ |= {f"{PREFIX}STORAGE": "fs", f"{PREFIX}DATA_DIR": str(data_dir)}
    settings = load_settings(**given(bind=bind))
    configure_logging(settings)
    if workers > 1:
        asyncio.run(run_until_stopped(run_workers(kind, settings, workers)))
        return
    start_tracing(settings, kind)
    if fd is not None:
        run_on(kind, settings, socket.socket(fileno=fd))
    else:
        run(kind, settings)
