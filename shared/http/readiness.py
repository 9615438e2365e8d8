"""Readiness: asks each dependency whether it answers, and measures how long it takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
from starlette.responses import Response

from shared.errors import RegistryError
from shared.redis_client import REDIS_FAILURES

CHECK_TIMEOUT_S: Final = 3.0


class Dependency(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of one dependency. latency_ms: until the answer, or until the check gave up."""

    ok: bool
    latency_ms: float


class ReadyResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The readiness of the process: true if every required dependency answers."""

    ok: bool
    dependencies: dict[str, Dependency]


@dataclass(frozen=True, slots=True)
class Probe:
    """How to ask a dependency. ask: raises if it is away. is_required: the process cannot work without it."""

    ask: Callable[[], Awaitable[object]]
    is_required: bool = True


Probes = Mapping[str, Probe]


async def readiness_of(probes: Probes) -> ReadyResponse:
    """Ask all dependencies at once. Takes at most CHECK_TIMEOUT_S, and never raises."""
    answers = await asyncio.gather(*(_measure(probe.ask) for probe in probes.values()))
    dependencies = dict(zip(probes, answers, strict=True))
    is_ready = all(dependencies[name].ok for name, probe in probes.items() if probe.is_required)
    return ReadyResponse(ok=is_ready, dependencies=dependencies)


def ready_response(readiness: ReadyResponse) -> Response:
    """The answer to GET /readyz: 200, or 503 when the process cannot work."""
    status = 200 if readiness.ok else 503
    return Response(msgspec.json.encode(readiness), status, media_type="application/json")


async def _measure(ask: Callable[[], Awaitable[object]]) -> Dependency:
    begun = time.perf_counter()
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await ask()
        is_up = True
    except (RegistryError, *REDIS_FAILURES):
        is_up = False
    return Dependency(ok=is_up, latency_ms=round((time.perf_counter() - begun) * 1000, 3))
