"""`x07-registry up`: a whole registry with one command."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from deploy.cli.options import Bind, given

DataDir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Where everything is kept.",
        show_default="X07_REGISTRY_DATA_DIR, or data",
    ),
]


def up(bind: Bind = None, data_dir: DataDir = None) -> None:
    """Run a whole registry on one address: reads, writes, worker, Postgres and Valkey.

    Postgres and Valkey are embedded, under the data directory, unless X07_REGISTRY_DATABASE_URL or
    X07_REGISTRY_REDIS_URL name others. The first start makes the user `admin` with a token in DIR/token.
    The worker's metrics are one port above X07_REGISTRY_METRICS_BIND.
    """
    from deploy.cli.progress import open_progress
    from deploy.local.up import run_registry
    from deploy.signals import run_until_stopped
    from shared.settings import load_settings
    from shared.telemetry import configure_logging

    settings = load_settings(**given(bind=bind, data_dir=data_dir))
    configure_logging(settings)
    with open_progress() as progress:
        asyncio.run(run_until_stopped(run_registry(settings, progress)))
