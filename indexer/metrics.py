"""Metrics of publication, the catalog, the scrub and the transparency log; workers have them."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from shared.errors import (
    DatabaseCorrupt,
    DatabaseFailed,
    Internal,
    MetadataCorrupt,
    StorageFailed,
    Unavailable,
)

PUBLICATION_SECONDS: Final = Histogram(
    "x07_publication_seconds",
    "From a package's row lock until its files are there and readers are told.",
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
PUBLICATION_FAILURES: Final = Counter(
    "x07_publication_failures_total", "Publications that failed and are left for a retry.", ["code"]
)
FAILURE_CODES: Final = tuple(
    error.code
    for error in (DatabaseFailed, DatabaseCorrupt, MetadataCorrupt, StorageFailed, Unavailable, Internal)
)
for _code in FAILURE_CODES:
    PUBLICATION_FAILURES.labels(_code)  # 0 from the start, so that the first failure has a rate
CATALOG_SECONDS: Final = Histogram(
    "x07_catalog_build_seconds",
    "Building catalog.json and its variants.",
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)

PACKAGES_LOOKED_AT: Final = Counter(
    "x07_packages_looked_at_total", "Packages whose index file was compared with their rows by a worker."
)
PACKAGES_HEALED: Final = Counter(
    "x07_packages_healed_total",
    "Packages whose files were not those of their rows although nothing waited; they are put again.",
)

DIRTY_PACKAGES: Final = Gauge("x07_dirty_packages", "Packages with changes that readers do not see yet.")
OLDEST_DIRTY_SECONDS: Final = Gauge(
    "x07_oldest_dirty_seconds", "Age of the oldest change that readers do not see yet; 0: none."
)
CATALOG_BEHIND_SECONDS: Final = Gauge(
    "x07_catalog_behind_seconds", "Age of the oldest published change that the catalog lacks; 0: none."
)
CATALOG_AGE_SECONDS: Final = Gauge("x07_catalog_age_seconds", "Since catalog.json was last written.")
QUEUE_DEPTH: Final = Gauge("x07_queue_depth", "Jobs that wait or run in Redis.")

SCRUB_BYTES: Final = Counter("x07_scrub_bytes_total", "Bytes of archives that were hashed again.")
SCRUB_ARCHIVES: Final = Counter("x07_scrub_archives_total", "Archives that were hashed again.")
SCRUB_DIFFERENCES: Final = Gauge(
    "x07_scrub_differences", "Archives that were not what their rows say when they were last hashed again."
)

LOG_SIZE: Final = Gauge("x07_log_size", "Entries of the transparency log that are signed.")
LOG_WAITING: Final = Gauge("x07_log_waiting", "Published lines that are not in the transparency log yet.")
LOG_BEHIND_SECONDS: Final = Gauge(
    "x07_log_behind_seconds", "Age of the oldest published line that is not in the log yet; 0: none."
)
LOG_DIVERGED: Final = Gauge(
    "x07_log_diverged", "1 if storage and database disagree about the log, so that nothing is signed; else 0."
)
LOG_COSIGNED_SIZE: Final = Gauge(
    "x07_log_cosigned_size",
    "Entries of the tree that a witness cosigned last, as this worker knows.",
    ["witness"],
)
LOG_WITNESS_FAILURES: Final = Counter(
    "x07_log_witness_failures_total",
    "Checkpoints that a witness was asked to cosign and did not.",
    ["witness"],
)

WEBHOOK_ATTEMPTS: Final = Counter(
    "x07_webhook_attempts_total", "Events that were sent to webhooks: `arrived` or `failed`.", ["outcome"]
)
for _outcome in ("arrived", "failed"):
    WEBHOOK_ATTEMPTS.labels(_outcome)
