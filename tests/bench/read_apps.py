"""Applications beside the read service as it is deployed: `python -m tests.bench.read_apps NAME PORT`.

long: ours without the fast path. uvicorn: ours behind plain uvicorn. static: Starlette's StaticFiles.
"""

from __future__ import annotations

import sys
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from deploy.asgi import build_read_app
from shared.http.guarded_protocol import GuardedProtocol
from shared.settings import Settings, load_settings

PROTOCOLS: dict[str, Any] = {
    "long": GuardedProtocol,
    "uvicorn": HttpToolsProtocol,
    "static": HttpToolsProtocol,
}


def granian_app() -> Any:
    """Our application as the factory that granian expects; granian's lifespan has no state."""
    app = build_read_app(load_settings())

    async def with_state(scope: Any, receive: Any, send: Any) -> None:
        scope.setdefault("state", {})
        await app(scope, receive, send)

    return with_state


def static_app(settings: Settings) -> Any:
    """Starlette's files over the same tree."""
    return Starlette(routes=[Mount("/", StaticFiles(directory=settings.data_dir))])


def main(name: str, port: int) -> None:
    """Serve until stopped."""
    settings = load_settings()
    app = static_app(settings) if name == "static" else build_read_app(settings)
    uvicorn.run(
        app,
        port=port,
        http=PROTOCOLS[name],
        loop="uvloop",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        lifespan="auto" if name == "static" else "on",
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
