"""The write API as a Starlette application: every endpoint behind authentication and typed errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp
from structlog.contextvars import bind_contextvars

from api.write.admission import Intake
from api.write.archive.check_pool import Checks
from api.write.archive.external_linter import Linter
from api.write.authentication import authenticate
from api.write.body_rate import BodyRateMiddleware
from api.write.credentials import bearer_token, secret_hash
from api.write.endpoint import Auth, Endpoint, Scope, build_routes
from api.write.github import open_github
from api.write.identity_tokens import IdentityTokens
from api.write.last_used import LastUsed
from api.write.publish_commit import Acceptance
from api.write.queries.packages import last_catalog_generation
from api.write.queries.sessions import set_last_seen
from api.write.queries.tokens import set_last_used
from api.write.rate_limits import RateLimits
from api.write.routes import ALL_ENDPOINTS
from api.write.scanner_keys import open_scanner_keys
from api.write.search import Searches
from api.write.search_page import SEARCH_PAGE
from api.write.services import Services, services_of
from api.write.token_lookup import KnownTokens
from api.write.upload_throttle import Pace
from api.write.visibility import Visibility
from shared.database import Database
from shared.errors import NotFound
from shared.high_water import HighWater
from shared.http.error_response import exception_handlers
from shared.http.path import PathMiddleware
from shared.messages import Notifier
from shared.settings import Settings
from shared.storage.interface import Storage
from shared.storage.opening import open_storage
from shared.storage.write_check import WriteCheck

log = structlog.get_logger()


async def _unknown_path(request: Request) -> Response:
    raise NotFound.path(f"/{request.path_params['path']}")


# As in the contract (1.2), an unknown path is 404 to GET and 405 to any other method.
UNKNOWN_PATH = Endpoint(method="GET", path="/{path:path}", handler=_unknown_path, errors=(NotFound,))


@asynccontextmanager
async def open_services(settings: Settings, linter: Linter | None = None) -> AsyncIterator[Services]:
    """Open the services of a write process, run their background tasks, and close them at the end.

    linter: runs on uploads, in addition to the built-in checks.
    """
    if "*" in settings.cors_origins:
        log.warning(
            "cors_allows_any_origin",
            effect="browsers hide the answers to requests with a session from every web page",
        )
    async with AsyncExitStack() as closing:
        database = Database(settings)
        closing.push_async_callback(database.close)
        storage = await open_storage(settings)
        closing.push_async_callback(storage.close)
        services = _services(settings, database, storage, linter)
        for part in (
            services.notifier,
            services.rate_limits,
            services.checks,
            services.visibility,
            services.known_tokens,
            services.searches,
            services.acceptance,
            services.github,
            services.scanner_keys,
            services.identity_tokens,
        ):
            if part is not None:
                closing.push_async_callback(part.close)
        async with _running(services):
            yield services


def _services(settings: Settings, database: Database, storage: Storage, linter: Linter | None) -> Services:
    """The services over an open database and storage."""
    notifier = Notifier(settings)
    return Services(
        settings=settings,
        database=database,
        storage=storage,
        notifier=notifier,
        visibility=Visibility(settings, database, notifier),
        last_used=LastUsed(database, set_last_used),
        last_seen=LastUsed(database, set_last_seen),
        github=open_github(settings),
        rate_limits=RateLimits(settings),
        checks=Checks(settings, linter),
        intake=Intake(settings.publishes_at_once),
        pace=Pace(settings.publish_bytes_per_second, settings.max_archive_bytes),
        acceptance=Acceptance(settings, database),
        known_tokens=KnownTokens(database),
        searches=Searches(database),
        scanner_keys=open_scanner_keys(settings.secret_scanning_keys_url, settings.issuer_timeout_seconds),
        identity_tokens=IdentityTokens(
            settings.trusted_issuers, settings.public_base, settings.issuer_timeout_seconds
        ),
        high_water=HighWater(storage, partial(last_catalog_generation, database)),
        writes=WriteCheck(storage, settings),
    )


@asynccontextmanager
async def _running(services: Services) -> AsyncIterator[None]:
    """Run the background tasks of a write process. At the end, write what LastUsed has recorded."""
    recorders = (services.last_used, services.last_seen)
    tasks = [asyncio.create_task(part.run()) for part in (services.visibility.listener, *recorders)]
    tasks.append(asyncio.create_task(services.high_water.watch(services.settings.sweep_seconds)))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for recorder in recorders:
            await recorder.write()


def build_app(services: Services) -> ASGIApp:
    """The write API over open services."""
    pages = (SEARCH_PAGE,) if services.settings.has_pages else ()
    routes = build_routes((*ALL_ENDPOINTS, *pages, UNKNOWN_PATH), _admitted)
    app = Starlette(routes=routes, exception_handlers=exception_handlers)
    app.state.services = services
    return BodyRateMiddleware(PathMiddleware(app), services.settings)


def _admitted(endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint's handler, wrapped in the limits and authentication that its declaration asks for."""
    handler, attempt = _authenticated(endpoint), endpoint.limited
    if attempt is None:
        return handler

    async def counted(request: Request) -> Response:
        services = services_of(request)
        await services.rate_limits.require(attempt, request)
        if not endpoint.is_upload:
            return await handler(request)
        secret = bearer_token(request)
        with services.intake.place(secret and secret_hash(secret)) as request.state.slot:
            return await handler(request)

    return counted


def _authenticated(endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint's handler, called with the principal that its declaration asks for.

    The response is not cacheable unless the handler says otherwise.
    """
    handler = endpoint.handler
    if endpoint.shows_packages:
        return _for_readers(endpoint)
    if endpoint.auth is Auth.NONE:
        return handler

    async def authenticated(request: Request) -> Response:
        caller = await authenticate(services_of(request), request, endpoint)
        bind_contextvars(actor=caller.handle)
        response = await handler(request, caller)
        response.headers.setdefault("cache-control", "no-store")
        return response

    return authenticated


def _for_readers(endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    """The handler of a page that anybody may see, or in a private registry any holder of a credential."""
    private = replace(endpoint, auth=Auth.EITHER, scope=Scope.READ)

    async def shown(request: Request) -> Response:
        services = services_of(request)
        if not services.settings.reads_need_token:
            return await endpoint.handler(request)
        await authenticate(services, request, private)
        response = await endpoint.handler(request)
        response.headers["cache-control"] = "private, no-store"
        response.headers.add_vary_header("Authorization")
        return response

    return shown
