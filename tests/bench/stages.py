"""Seconds of each stage of a publish, from the metrics of a running `x07-registry up`."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

STAGES = ("spool", "check", "stage", "commit", "visible")
PUBLICATION = "publication"


@dataclass(frozen=True, slots=True)
class Sums:
    """Totals since the start: by stage, how often it ran, and its seconds."""

    counts: dict[str, float]
    seconds: dict[str, float]

    def mean_ms(self, before: Sums, stage: str) -> float:
        """The mean of a stage since an earlier look, milliseconds."""
        count = self.counts[stage] - before.counts[stage]
        return (self.seconds[stage] - before.seconds[stage]) / max(count, 1) * 1000


def free_ports() -> int:
    """The first of two ports in a row that are free now: the HTTP process's and the worker's."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as first:
            port: int = first.getsockname()[1]
            try:
                socket.create_server(("127.0.0.1", port + 1)).close()
            except OSError:
                continue
            return port


def look(port: int) -> Sums:
    """The present totals of a registry whose metrics begin at this port."""
    found = Sums({}, {})
    for number in (port, port + 1):
        with urlopen(f"http://127.0.0.1:{number}/metrics", timeout=60) as answer:
            text = answer.read().decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name.startswith("x07_publish_stage_seconds_"):
                    _note(found, sample.labels["stage"], sample.name, sample.value)
                elif sample.name.startswith("x07_publication_seconds_"):
                    _note(found, PUBLICATION, sample.name, sample.value)
    return found


def _note(found: Sums, stage: str, name: str, value: float) -> None:
    if name.endswith("_count"):
        found.counts[stage] = value
    elif name.endswith("_sum"):
        found.seconds[stage] = value
