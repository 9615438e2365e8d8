"""The service itself: what it is, whether it lives, whether it is ready."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from api.write.endpoint import Endpoints
from api.write.services import services_of
from shared.http.readiness import ReadyResponse, readiness_of, ready_response
from shared.http.service import HEALTH_BODY, SERVICE_BODY

route = Endpoints()


@route.get("/")
async def service(request: Request) -> Response:
    """Where the registry's parts are."""
    return Response(SERVICE_BODY, media_type="application/json")


@route.get("/healthz")
async def health(request: Request) -> Response:
    """Alive: no dependency is asked."""
    return PlainTextResponse(HEALTH_BODY)


@route.get("/readyz", response=ReadyResponse)
async def ready(request: Request) -> Response:
    """Ready to publish: database and storage answer. 503 when one does not."""
    return ready_response(await readiness_of(services_of(request).dependencies))
