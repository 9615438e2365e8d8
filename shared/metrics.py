"""Metrics of every role, in the default registry of prometheus_client. Each role's own are in its package."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram, Info, disable_created_metrics

# Without this, each series has a second sample, which no dashboard uses.
disable_created_metrics()  # type: ignore[no-untyped-call]

PROCESS: Final = Info("x07_process", "The role of this process.")

HTTP_REQUESTS: Final = Counter(
    "x07_http_requests_total",
    "Requests that were answered. route: the pattern, not the path; `unknown` if no route matched.",
    ["method", "route", "status"],
)
HTTP_IN_FLIGHT: Final = Gauge("x07_http_requests_in_flight", "Requests that are being answered now.")
HTTP_SECONDS: Final = Histogram(
    "x07_http_request_seconds",
    "Time from the request's head to the end of the answer. The read tier's fast answers from memory are "
    "left out, because their microseconds would hide slow requests; `x07_http_requests_total` counts them.",
    ["route"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

DEPENDENCY_UP: Final = Gauge(
    "x07_dependency_up", "1 if the dependency answered the last check, else 0.", ["dependency"]
)
DEPENDENCY_SECONDS: Final = Gauge(
    "x07_dependency_latency_seconds",
    "Time that the dependency took to answer the last check.",
    ["dependency"],
)
