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
    "Time from locking a package's row until its files are stored and readers are told.",
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
PUBLICATION_FAILURES: Final = Counter(
    "x07_publication_failures_total", "Publications that failed and will be tried again.", ["code"]
)
FAILURE_CODES: Final = tuple(
    error.code
    for error in (DatabaseFailed, DatabaseCorrupt, MetadataCorrupt, StorageFailed, Unavailable, Internal)
)
for _code in FAILURE_CODES:
    PUBLICATION_FAILURES.labels(_code)  # 0 from the start, so that the first failure has a rate
CATALOG_SECONDS: Final = Histogram(
    "x07_catalog_build_seconds",
    "Time to build catalog.json and its variants.",
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
PAGES_SECONDS: Final = Histogram(
    "x07_pages_build_seconds",
    "Rendering and putting the HTML pages of one batch of packages.",
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)

PACKAGES_LOOKED_AT: Final = Counter(
    "x07_packages_looked_at_total", "Packages whose files a worker compared with their rows."
)
PACKAGES_HEALED: Final = Counter(
    "x07_packages_healed_total",
    "Packages whose files differed from their rows although no change waited; a worker puts them again.",
)

DIRTY_PACKAGES: Final = Gauge("x07_dirty_packages", "Packages with changes that readers do not see yet.")
OLDEST_DIRTY_SECONDS: Final = Gauge(
    "x07_oldest_dirty_seconds", "Age of the oldest change that readers do not see yet; 0 if there is none."
)
CATALOG_BEHIND_SECONDS: Final = Gauge(
    "x07_catalog_behind_seconds",
    "Age of the oldest published change that the catalog lacks; 0 if there is none.",
)
CATALOG_AGE_SECONDS: Final = Gauge("x07_catalog_age_seconds", "Time since catalog.json was last written.")
QUEUE_DEPTH: Final = Gauge("x07_queue_depth", "Jobs in Redis that wait or run.")

SCRUB_BYTES: Final = Counter(
    "x07_scrub_bytes_total", "Bytes of published archives that were hashed again to check them."
)
SCRUB_ARCHIVES: Final = Counter(
    "x07_scrub_archives_total", "Published archives that were hashed again to check them."
)
SCRUB_DIFFERENCES: Final = Gauge(
    "x07_scrub_differences", "Published archives that differed from their rows when they were last checked."
)

LOG_SIZE: Final = Gauge("x07_log_size", "Signed entries of the transparency log.")
LOG_WAITING: Final = Gauge("x07_log_waiting", "Published lines that are not in the transparency log yet.")
LOG_BEHIND_SECONDS: Final = Gauge(
    "x07_log_behind_seconds",
    "Age of the oldest published line that is not in the log yet; 0 if there is none.",
)
LOG_DIVERGED: Final = Gauge(
    "x07_log_diverged",
    "1 if storage and database disagree about the log, so that nothing more is signed; else 0.",
)
LOG_COSIGNED_SIZE: Final = Gauge(
    "x07_log_cosigned_size",
    "Entries of the tree that the witness cosigned last, as far as this worker knows.",
    ["witness"],
)
LOG_WITNESS_FAILURES: Final = Counter(
    "x07_log_witness_failures_total",
    "Checkpoints that the witness did not cosign when it was asked.",
    ["witness"],
)

WEBHOOK_ATTEMPTS: Final = Counter(
    "x07_webhook_attempts_total", "Events that were sent to webhooks: `arrived` or `failed`.", ["outcome"]
)
for _outcome in ("arrived", "failed"):
    WEBHOOK_ATTEMPTS.labels(_outcome)

PURGES: Final = Counter(
    "x07_purges_total", "Surrogate keys that an edge was asked to drop: `done` or `failed`.", ["outcome"]
)
for _outcome in ("done", "failed"):
    PURGES.labels(_outcome)
