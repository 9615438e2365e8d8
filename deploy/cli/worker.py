"""`x07-registry worker`: runs one worker process."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.settings import Settings


def worker() -> None:
    """Publish committed changes: archives, index files, catalog. Any number of workers may run."""
    import uvloop

    from deploy.signals import run_until_stopped
    from deploy.tree import require_one_tree
    from shared.settings import load_settings
    from shared.telemetry import configure_logging
    from shared.tracing import start_tracing

    settings = load_settings()
    configure_logging(settings)
    require_one_tree(settings)
    start_tracing(settings, "worker")
    uvloop.run(run_until_stopped(_work(settings)))


async def _work(settings: Settings) -> None:
    """Wait until the database is migrated, then work. Raises StartFailed."""
    from deploy.garbage import collect_less_garbage
    from deploy.migrations.revision import until_migrated
    from worker.process import run

    await until_migrated(settings)
    collect_less_garbage()
    await run(settings)
