"""Traces from the request through the job to the publication, sent to a real OTLP receiver."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

import pytest

from shared import tracing
from shared.settings import Settings
from shared.tracing import start_tracing
from shared.variables import SettingsError
from tests.observability.collector import Span
from tests.observability.conftest import Roles
from tests.stack import eventually


async def test_a_publish_its_job_and_its_publication_are_one_trace(roles: Roles) -> None:
    """The job carries the context, so that an operator sees across processes what a publish waited for."""

    wanted = {"POST /v1/packages/publish", "publish_package", "publication"}

    async def whole() -> dict[str, Span] | None:
        ids = {span.trace_id for span in roles.collector.spans if span.name == "publish.visible"}
        spans = {span.name: span for span in roles.collector.spans if span.trace_id in ids}
        return spans if wanted <= set(spans) else None

    spans = await eventually(whole)
    request, job = spans["POST /v1/packages/publish"], spans["publish_package"]
    assert (request.parent_id, request.service) == ("", "x07-registry-write")
    for stage in ("spool", "check", "stage", "commit", "visible"):
        assert spans[f"publish.{stage}"].parent_id == request.span_id
    assert (job.parent_id, job.service) == (spans["publish.visible"].span_id, "x07-registry-worker")
    assert spans["publication"].parent_id == job.span_id


def test_without_an_endpoint_nothing_of_opentelemetry_is_imported() -> None:
    """The import costs memory and start-up time, and the package may not be installed."""
    code = (
        "import sys, deploy.asgi, worker.process, shared.tracing as t;"
        "from shared.settings import Settings; t.start_tracing(Settings(otlp_endpoint=None), 'read');"
        "exec('with t.span(\"x\"): pass'); assert t.carrier() is None;"
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_endpoint_without_opentelemetry_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise missing traces would be noticed only when they are needed."""
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(SettingsError, match="OTLP_ENDPOINT is set, but OpenTelemetry is not installed"):
        start_tracing(Settings(otlp_endpoint="http://127.0.0.1:4318"), "read")


def test_a_receiver_that_never_answers_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process has only some seconds to end, but the exporter would retry for half a minute."""
    monkeypatch.setattr(tracing, "STOP_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel accepts, but nothing answers
        start_tracing(Settings(otlp_endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}"), "write")
        with tracing.span("a span"):
            pass
        begun = time.monotonic()
        tracing.stop_tracing()
        assert time.monotonic() - begun < 25
    assert tracing.carrier() is None
