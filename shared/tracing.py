"""Traces over OTLP/HTTP if an endpoint is set: publish, job and publication in one trace.

Without an endpoint OpenTelemetry is not imported, and a span costs one comparison. Clients' `traceparent`
headers are ignored, like their request ids, because operators decide what is sampled.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from shared.settings import Settings
from shared.variables import PREFIX, SettingsError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

EXPORT_S: Final = 5.0
# Shorter than the time that a process has to end in (deploy/serve.py, worker/schedule.py).
STOP_S: Final = 3.0

Carrier = Mapping[str, str]
P = ParamSpec("P")
T = TypeVar("T")

_provider: TracerProvider | None = None


def start_tracing(settings: Settings, role: str) -> None:
    """Send the spans of this process to the endpoint of the settings; called once, by the command line.

    Raises SettingsError when there is an endpoint but no OpenTelemetry.
    """
    global _provider
    if settings.otlp_endpoint is None:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise SettingsError(
            f"{PREFIX}OTLP_ENDPOINT is set, but OpenTelemetry is not installed: x07-registry[tracing]"
        ) from None
    _provider = TracerProvider(resource=Resource.create({"service.name": f"x07-registry-{role}"}))
    exporter = OTLPSpanExporter(endpoint=f"{settings.otlp_endpoint}/v1/traces", timeout=EXPORT_S)
    _provider.add_span_processor(BatchSpanProcessor(exporter))


def stop_tracing() -> None:
    """Send the remaining spans; blocks for at most STOP_S. The provider alone would wait half a minute."""
    global _provider
    if _provider is not None:
        sending = threading.Thread(target=_provider.shutdown, daemon=True)
        sending.start()
        sending.join(STOP_S)
        _provider = None


@contextmanager
def span(name: str, parent: Carrier | None = None, **attributes: str | int) -> Iterator[None]:
    """A span around the body, below `parent` of another process, or below the span around it."""
    if _provider is None:
        yield
        return
    from opentelemetry.propagate import extract

    context = extract(parent) if parent is not None else None
    tracer = _provider.get_tracer("x07-registry")
    with tracer.start_as_current_span(name, context, attributes=attributes):
        yield


def carrier() -> Carrier | None:
    """The current span for another process to continue from; None while tracing is off."""
    if _provider is None:
        return None
    from opentelemetry.propagate import inject

    headers: dict[str, str] = {}
    inject(headers)
    return headers


def traced(name: str) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Awaitable[T]]]:
    """Decorates an async function with a span around each call."""

    def decorate(function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        @functools.wraps(function)
        async def in_span(*args: P.args, **kwargs: P.kwargs) -> T:
            with span(name):
                return await function(*args, **kwargs)

        return in_span

    return decorate
