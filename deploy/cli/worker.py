"""`x07-registry worker`: one worker process."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.settings import Settings


def worker() -> None:
    """Publish what was committed: archives, index files, catalog. Any number of workers may run."""
    import uvloop

    from deploy.signals import run_until_stopped
    from shared.settings import load_settings
    from shared.telemetry import configure_logging
    from shared.tracing import start_tracing

    settings = load_settings()
    configure_logging(settings)
    start_tracing(settings, "worker")
    uvloop.run(run_until_stopped(_work(settings)))


async def _work(settings: Settings) -> None:
    """Work on a database that is migrated. Raises StartFailed."""
    from deploy.garbage import collect_less_garbage
    from deploy.migrations.revision import until_migrated
    from worker.settings import run

    await until_migrated(settings)
    collect_less_garbage()
    await run(settings)
