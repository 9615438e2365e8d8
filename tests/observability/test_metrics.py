"""Metrics of each role, scraped from real processes."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from indexer.metrics import FAILURE_CODES
from tests.faults.cluster import Kind
from tests.observability.conftest import Roles, operations_url
from tests.stack import eventually


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Each sample's value by its name and sorted labels; fails if the text is not well-formed."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_a_publish_is_seen_in_the_metrics_of_the_writer(roles: Roles) -> None:
    """Requests by route and status, each stage, and the changes that readers saw in time."""
    route = "/v1/packages/publish"
    found = samples(await roles.metrics("write"))

    def one(name: str, **labels: str) -> float:
        return found[(name, tuple(sorted(labels.items())))]

    assert one("x07_http_requests_total", method="POST", route=route, status="200") == 1
    assert one("x07_http_requests_total", method="POST", route=route, status="409") == 1
    assert one("x07_http_request_seconds_count", route=route) == 2
    for stage, count in (("spool", 2), ("check", 2), ("stage", 2), ("commit", 1), ("visible", 1)):
        assert one("x07_publish_stage_seconds_count", stage=stage) == count, stage
    assert one("x07_changes_total", outcome="visible") == 1
    assert one("x07_database_pool_limit") == 10
    assert one("x07_database_pool_connections", state="idle") >= 1


async def test_reads_are_seen_in_the_metrics_of_the_reader(roles: Roles) -> None:
    """Reads are counted by route, never by path, and by the cache's result."""
    found = samples(await roles.metrics("read"))
    routes = {dict(labels)["route"] for name, labels in found if name == "x07_http_requests_total"}
    assert routes <= {
        "/index/{path}",
        "/index/catalog.json",
        "/index/config.json",
        "/v1/packages/{name}/{version}/download",
        "unknown",
    }
    assert found[("x07_read_cache_lookups_total", (("outcome", "miss"),))] >= 2
    assert found[("x07_read_cache_bytes", ())] > 0


async def test_a_worker_says_how_much_waits(roles: Roles) -> None:
    """Soon no package is dirty and no job waits; a publication and a catalog were timed."""
    found: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}

    async def is_idle() -> bool:
        found.update(samples(await roles.metrics("worker")))
        return found[("x07_queue_depth", ())] == 0

    await eventually(is_idle, 180)  # a job whose end Redis did not hear is run again after two minutes
    for name in ("x07_dirty_packages", "x07_oldest_dirty_seconds"):
        assert found[(name, ())] == 0, name
    assert found[("x07_publication_seconds_count", ())] == 1
    assert 0 <= found[("x07_catalog_age_seconds", ())] < 3600


@pytest.mark.parametrize("role", ["write", "read", "worker"])
async def test_every_role_answers_operators_on_an_address_of_its_own(roles: Roles, role: str) -> None:
    """Liveness, readiness with each dependency's latency, and the role in the metrics."""
    async with httpx.AsyncClient(base_url=roles.operations[role], timeout=60) as http:
        health, ready = await asyncio.gather(http.get("/healthz"), http.get("/readyz"))
    assert health.text == "ok"
    dependencies = ready.json()["dependencies"]
    of_others = {"database", "storage", "redis", "high_water"}
    assert set(dependencies) == ({"storage"} if role == "read" else of_others)
    assert all(one["ok"] and one["latency_ms"] >= 0 for one in dependencies.values())
    found = samples(await roles.metrics(role))
    assert found[("x07_process_info", (("role", role),))] == 1
    for name in dependencies:
        assert found[("x07_dependency_up", (("dependency", name),))] == 1


@pytest.mark.parametrize("role", ["write", "read"])
async def test_clients_do_not_reach_the_metrics(roles: Roles, role: str) -> None:
    """Metrics reveal the use of a registry and its bottlenecks."""
    assert (await roles.processes[role].http.get("/metrics")).status_code == 404


@pytest.mark.parametrize("role", ["write", "read", "worker"])
async def test_every_counter_is_there_before_anything_was_counted(roles: Roles, role: Kind) -> None:
    """A counter that appears with its first event has no rate for it; an alert would miss that.

    Requests are the exception, as there are as many series as routes and statuses. A log's witnesses also
    have a series each from the start, but this registry has no witness.
    """
    fresh = await roles.cluster.start(role, metrics_bind="127.0.0.1:0")
    async with httpx.AsyncClient(base_url=await operations_url(fresh), timeout=60) as http:
        text = (await http.get("/metrics")).text
    counters = [one for one in text_string_to_metric_families(text) if one.type in ("counter", "histogram")]
    empty = {family.name for family in counters if family.name.startswith("x07_") and not family.samples}
    assert empty <= {"x07_http_requests", "x07_http_request_seconds", "x07_log_witness_failures"}
    if role == "worker":
        failures = [name for name, _ in samples(text) if name == "x07_publication_failures_total"]
        assert len(failures) == len(FAILURE_CODES)


async def test_a_worker_is_not_ready_without_its_database_and_is_alive_all_the_same(roles: Roles) -> None:
    """A probe takes it out of service but does not restart it; unknown values are not numbers."""
    lost = await roles.cluster.start("worker", database_url="postgres://x@127.0.0.1:1/x")
    async with httpx.AsyncClient(base_url=await operations_url(lost), timeout=60) as http:
        ready, health, metrics = await asyncio.gather(
            http.get("/readyz"), http.get("/healthz"), http.get("/metrics")
        )
    assert (ready.status_code, health.status_code) == (503, 200)
    assert ready.json()["dependencies"]["database"]["ok"] is False
    assert ready.json()["dependencies"]["storage"]["ok"] is True
    found = samples(metrics.text)
    assert found[("x07_dependency_up", (("dependency", "database"),))] == 0
    assert found[("x07_dirty_packages", ())] != found[("x07_dirty_packages", ())]
