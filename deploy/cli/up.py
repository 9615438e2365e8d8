"""`x07-registry up`: runs a whole registry."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from deploy.cli.administration import checked_handle
from deploy.cli.options import Bind, given, parse_folder

DataDir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        parser=parse_folder,
        help="Directory for all data.",
        show_default="X07_REGISTRY_DATA_DIR, or data",
    ),
]


Admin = Annotated[
    str | None,
    typer.Option(
        metavar="HANDLE",
        help="Handle of the first administrator, used at the first start.",
        show_default="_admin, which cannot be a GitHub login",
        callback=checked_handle,
    ),
]


def up(bind: Bind = None, data_dir: DataDir = None, admin: Admin = None) -> None:
    """Run a whole registry on one address: reads, writes, worker, Postgres and Valkey.

    Postgres and Valkey are embedded, with their data in DIR, unless X07_REGISTRY_DATABASE_URL or
    X07_REGISTRY_REDIS_URL name other servers. The first start creates an administrator with a token in
    DIR/token. The worker's metrics are one port above X07_REGISTRY_METRICS_BIND.
    """
    from deploy.cli.progress import PrintedProgress
    from deploy.local.up import run_registry
    from deploy.signals import run_until_stopped
    from shared.names import Handle
    from shared.settings import load_settings
    from shared.telemetry import configure_logging

    settings = load_settings(**given(bind=bind, data_dir=data_dir))
    configure_logging(settings)
    registry = run_registry(settings, PrintedProgress(), Handle(admin) if admin else None)
    asyncio.run(run_until_stopped(registry))
