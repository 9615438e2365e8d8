"""Metrics of each role, scraped from real processes."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.observability.conftest import Roles, operations_url


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Each sample's value by its name and sorted labels; the text must be well-formed."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_a_publish_is_seen_in_the_metrics_of_the_writer(roles: Roles) -> None:
    """Requests by route and status, each stage, and that readers saw it in time."""
    route = "/v1/packages/publish"
    found = samples(await roles.metrics("write"))

    def one(name: str, **labels: str) -> float:
        return found[(name, tuple(sorted(labels.items())))]

    assert one("x07_http_requests_total", method="POST", route=route, status="200") == 1
    assert one("x07_http_requests_total", method="POST", route=route, status="409") == 1
    assert one("x07_http_request_seconds_count", route=route) == 2
    for stage, count in (("spool", 2), ("check", 2), ("stage", 1), ("commit", 1), ("visible", 1)):
        assert one("x07_publish_stage_seconds_count", stage=stage) == count, stage
    assert one("x07_changes_total", outcome="visible") == 1
    assert one("x07_database_pool_limit") == 10
    assert one("x07_database_pool_connections", state="idle") >= 1


async def test_reads_are_seen_in_the_metrics_of_the_reader(roles: Roles) -> None:
    """By what was asked for, never by path; and whether memory had it."""
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
    """Nothing does: no package is dirty, no wake-up waits; a publication and a catalog were timed."""
    found = samples(await roles.metrics("worker"))
    for name in ("x07_dirty_packages", "x07_oldest_dirty_seconds", "x07_queue_depth"):
        assert found[(name, ())] == 0, name
    assert found[("x07_publication_seconds_count", ())] == 1
    assert 0 <= found[("x07_catalog_age_seconds", ())] < 3600


@pytest.mark.parametrize("role", ["write", "read", "worker"])
async def test_every_role_answers_operators_on_an_address_of_its_own(roles: Roles, role: str) -> None:
    """Alive, ready with each dependency's latency, and named in its metrics."""
    async with httpx.AsyncClient(base_url=roles.operations[role], timeout=10) as http:
        health, ready = await asyncio.gather(http.get("/healthz"), http.get("/readyz"))
    assert health.text == "ok"
    dependencies = ready.json()["dependencies"]
    assert set(dependencies) == ({"storage"} if role == "read" else {"database", "storage", "redis"})
    assert all(one["ok"] and one["latency_ms"] >= 0 for one in dependencies.values())
    found = samples(await roles.metrics(role))
    assert found[("x07_process_info", (("role", role),))] == 1
    for name in dependencies:
        assert found[("x07_dependency_up", (("dependency", name),))] == 1


@pytest.mark.parametrize("role", ["write", "read"])
async def test_clients_do_not_reach_the_metrics(roles: Roles, role: str) -> None:
    """They say how much a registry is used, and by what it is held up."""
    assert (await roles.processes[role].http.get("/metrics")).status_code == 404


async def test_a_worker_is_not_ready_without_its_database_and_is_alive_all_the_same(roles: Roles) -> None:
    """A probe takes it out of work, none restarts it; what is not known is not a number."""
    lost = await roles.cluster.start("worker", database_url="postgres://x@127.0.0.1:1/x")
    async with httpx.AsyncClient(base_url=await operations_url(lost), timeout=10) as http:
        ready, health, metrics = await asyncio.gather(
            http.get("/readyz"), http.get("/healthz"), http.get("/metrics")
        )
    assert (ready.status_code, health.status_code) == (503, 200)
    assert ready.json()["dependencies"]["database"]["ok"] is False
    assert ready.json()["dependencies"]["storage"]["ok"] is True
    found = samples(metrics.text)
    assert found[("x07_dependency_up", (("dependency", "database"),))] == 0
    assert found[("x07_dirty_packages", ())] != found[("x07_dirty_packages", ())]
