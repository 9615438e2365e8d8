"""The service itself: its parts, liveness, readiness and API document."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from api.write.endpoint import Endpoints
from api.write.services import services_of
from shared.http.openapi import openapi_response
from shared.http.readiness import ReadyResponse, readiness_of, ready_response
from shared.http.service import HEALTH_BODY, OPENAPI_PATH, ServiceDocument, service_body

route = Endpoints()


@route.get("/", response=ServiceDocument, is_static=True)
async def service(request: Request) -> Response:
    """The addresses of the registry's parts."""
    return Response(service_body(services_of(request).settings.base_path), media_type="application/json")


@route.get("/healthz", response=str, is_static=True)
async def health(request: Request) -> Response:
    """Liveness: uses no dependency."""
    return PlainTextResponse(HEALTH_BODY)


@route.get("/readyz", response=ReadyResponse, also=(503,), is_static=True)
async def ready(request: Request) -> Response:
    """Readiness: database and storage answer. 503 when one does not."""
    return ready_response(await readiness_of(services_of(request).dependencies))


@route.get("/openapi", status=303, headers=("location",), is_static=True)
async def openapi(request: Request) -> Response:
    """The address of this document."""
    return Response(
        status_code=303, headers={"location": services_of(request).settings.base_path + OPENAPI_PATH}
    )


@route.get(OPENAPI_PATH, response=dict[str, Any], is_static=True, is_cached=True)
async def openapi_json(request: Request) -> Response:
    """This document: OpenAPI 3.1."""
    return openapi_response(request, services_of(request).settings.base_path)
