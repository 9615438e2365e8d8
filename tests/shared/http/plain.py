"""Serve an ASGI application that knows no lifespan, behind a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from starlette.types import ASGIApp

from deploy.asgi import Application, State
from shared.http.authorities import trusted_authorities
from tests.stack import serving


@asynccontextmanager
async def client_of(app: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application, which is served on a free port."""

    @asynccontextmanager
    async def opener(state: State) -> AsyncIterator[ASGIApp]:
        yield app

    async with (
        serving(Application(opener)) as url,
        httpx.AsyncClient(base_url=url, verify=trusted_authorities()) as http,
    ):
        yield http
