"""How a worker publishes changes and cleans up."""

from __future__ import annotations

from pydantic import BaseModel, Field


class WorkerSettings(BaseModel):
    """Worker."""

    sweep_seconds: float = Field(
        3.0,
        gt=0,
        le=300,
        description="How often a worker looks for changes that a lost wake-up left unpublished.",
    )
    catalog_debounce_seconds: float = Field(
        0.5, ge=0, le=300, description="How long a rebuild of the catalog waits for more changes."
    )
    staging_keep_seconds: float = Field(
        86_400.0,
        ge=0,
        le=31_536_000,
        description="How long `gc` keeps staged archives and unfinished uploads that nothing refers to.",
    )
    scrub_bytes_per_second: int = Field(
        1_048_576,
        ge=0,
        description="Bytes per second of published archives that each worker hashes again to detect "
        "changed archives; it hashes an archive at most once a day. 0: none.",
    )
