"""A small real OTLP/HTTP receiver that keeps the spans it is sent."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.stack import serving


@dataclass(frozen=True)
class Span:
    """A received span. Ids: hex; parent_id is empty for the first span of a trace."""

    name: str
    service: str
    trace_id: str
    span_id: str
    parent_id: str


@dataclass
class Collector:
    """All received spans, and the bodies that they came in. url: without /v1/traces."""

    url: str = ""
    spans: list[Span] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    async def receive(self, request: Request) -> Response:
        """Receive a batch (OTLP/HTTP, binary protobuf)."""
        body = await request.body()
        if request.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        self.bodies.append(body)
        for batch in ExportTraceServiceRequest.FromString(body).resource_spans:
            attributes = {one.key: one.value.string_value for one in batch.resource.attributes}
            for scope in batch.scope_spans:
                self.spans += [
                    Span(
                        span.name,
                        attributes["service.name"],
                        span.trace_id.hex(),
                        span.span_id.hex(),
                        span.parent_span_id.hex(),
                    )
                    for span in scope.spans
                ]
        return Response(ExportTraceServiceResponse().SerializeToString(), media_type="application/x-protobuf")


@asynccontextmanager
async def running_collector() -> AsyncIterator[Collector]:
    """A receiver on a port of its own."""
    collector = Collector()
    app = Starlette(routes=[Route("/v1/traces", collector.receive, methods=["POST"])])
    async with serving(app) as url:
        collector.url = url
        yield collector
