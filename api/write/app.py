"""The write API as a Starlette application: every endpoint behind authentication and typed errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp
from structlog.contextvars import bind_contextvars

from api.write.acceptance import Acceptance
from api.write.checks import Checks
from api.write.credentials import bearer_token, secret_hash
from api.write.endpoint import Auth, Endpoint, build_routes
from api.write.github import open_github
from api.write.intake import Intake
from api.write.known_tokens import KnownTokens
from api.write.last_used import LastUsed
from api.write.linter import Linter
from api.write.pace import Pace
from api.write.principal import authenticate
from api.write.queries.sessions import set_last_seen
from api.write.queries.tokens import set_last_used
from api.write.rate_limits import RateLimits
from api.write.routes import ALL_ENDPOINTS
from api.write.services import Services, services_of
from api.write.waiting import Publications
from shared.database import Database
from shared.errors import NotFound
from shared.http.error_response import exception_handlers
from shared.http.path import PathMiddleware
from shared.jobs import ChangeListener, Notifier
from shared.settings import Settings
from shared.storage import open_storage

log = structlog.get_logger()


async def _unknown_path(request: Request) -> Response:
    raise NotFound


# As in the contract (1.2), an unknown path is 404 to GET and 405 to any other method.
UNKNOWN_PATH = Endpoint(method="GET", path="/{path:path}", handler=_unknown_path, errors=(NotFound,))


@asynccontextmanager
async def open_services(settings: Settings, linter: Linter | None = None) -> AsyncIterator[Services]:
    """The parts of a write process with their background tasks, closed at the end.

    linter: of uploads, besides the built-in checks.
    """
    if "*" in settings.cors_origins:
        log.warning("cors_allows_any_origin", effect="no web page can change anything with a session")
    database, notifier, github = Database(settings), Notifier(settings), open_github(settings)
    storage = await open_storage(settings)
    publications = Publications(database, settings.publish_wait_seconds)
    rate_limits, checks = RateLimits(settings), Checks(settings, linter)
    acceptance, known_tokens = Acceptance(settings, database, storage), KnownTokens(database)
    last_used, last_seen = LastUsed(database, set_last_used), LastUsed(database, set_last_seen)
    listener = ChangeListener(settings, publications.apply, on_gap=lambda: None)
    tasks = [asyncio.create_task(part.run()) for part in (listener, last_used, last_seen)]
    try:
        yield Services(
            settings,
            database,
            storage,
            notifier,
            publications,
            last_used,
            last_seen,
            github,
            rate_limits,
            checks,
            Intake(settings.publishes_at_once),
            Pace(settings.publish_bytes_per_second, settings.max_archive_bytes),
            acceptance,
            known_tokens,
        )
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await last_used.write()
        await last_seen.write()
        if github is not None:
            await github.close()
        await acceptance.close()
        await known_tokens.close()
        await publications.close()
        await checks.close()
        await rate_limits.close()
        await notifier.close()
        await storage.close()
        await database.close()


def build_app(services: Services) -> ASGIApp:
    """The write API over open services."""
    routes = build_routes((*ALL_ENDPOINTS, UNKNOWN_PATH), _admitted)
    app = Starlette(routes=routes, exception_handlers=exception_handlers)
    app.state.services = services
    return PathMiddleware(app)


def _admitted(endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint's handler behind what its declaration asks for: limits, then the principal."""
    handler, attempt = _authenticated(endpoint), endpoint.limited
    if attempt is None:
        return handler

    async def counted(request: Request) -> Response:
        services = services_of(request)
        await services.rate_limits.require(attempt, request)
        if not endpoint.is_upload:
            return await handler(request)
        secret = bearer_token(request)
        with services.intake.place(secret and secret_hash(secret)):
            return await handler(request)

    return counted


def _authenticated(endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint's handler, called with the principal that its declaration asks for.

    No cache may keep what it answers, unless the handler says otherwise.
    """
    handler = endpoint.handler
    if endpoint.auth is Auth.NONE:
        return handler

    async def authenticated(request: Request) -> Response:
        caller = await authenticate(services_of(request), request, endpoint)
        bind_contextvars(actor=caller.handle)
        response = await handler(request, caller)
        response.headers.setdefault("cache-control", "no-store")
        return response

    return authenticated
