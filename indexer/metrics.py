"""What publication measures: counted in whichever process publishes, which is a worker."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

PUBLICATION_SECONDS: Final = Histogram(
    "x07_publication_seconds",
    "From a package's row lock until its files are there and readers are told.",
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
PUBLICATION_FAILURES: Final = Counter(
    "x07_publication_failures_total", "Publications that failed and are left for a retry.", ["code"]
)
CATALOG_SECONDS: Final = Histogram(
    "x07_catalog_build_seconds",
    "Building catalog.json and its variants.",
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)

DIRTY_PACKAGES: Final = Gauge("x07_dirty_packages", "Packages with changes that readers do not see yet.")
OLDEST_DIRTY_SECONDS: Final = Gauge(
    "x07_oldest_dirty_seconds", "Age of the oldest change that readers do not see yet; 0: none."
)
CATALOG_BEHIND_SECONDS: Final = Gauge(
    "x07_catalog_behind_seconds", "Age of the oldest published change that the catalog lacks; 0: none."
)
CATALOG_AGE_SECONDS: Final = Gauge("x07_catalog_age_seconds", "Since catalog.json was last written.")
QUEUE_DEPTH: Final = Gauge("x07_queue_depth", "Wake-ups that wait in Redis.")
