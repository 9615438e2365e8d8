"""`x07-registry worker`: one worker process."""

from __future__ import annotations


def worker() -> None:
    """Publish what was committed: archives, index files, catalog. Any number of workers may run."""
    import uvloop

    from deploy.signals import run_until_stopped
    from shared.settings import load_settings
    from shared.telemetry import configure_logging
    from worker.settings import run

    settings = load_settings()
    configure_logging(settings)
    uvloop.run(run_until_stopped(run(settings)))
