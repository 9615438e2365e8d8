"""The older server's HTTP answers that the walk of docs/adoption.md needs: the index."""

from __future__ import annotations

import base64
import json

from nacl.signing import SigningKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.deploy.older_server import SEED, OlderServer


def app_of(older: OlderServer, public_base: str) -> Starlette:
    """config.json, catalog and index files, made from the rows on each request (contract, 3.2 to 3.5)."""

    async def config(_request: Request) -> Response:
        key = {
            "id": "key-2026-01",
            "ed25519_pub": base64.b64encode(bytes(SigningKey(SEED).verify_key)).decode(),
        }
        document = {
            "dl": f"{public_base}/v1/packages/",
            "api": f"{public_base}/v1/",
            "auth-required": False,
            "sparse": True,
            "signing": {"kind": "ed25519", "public_keys": [key]},
        }
        return Response(json.dumps(document, separators=(",", ":")), media_type="application/json")

    async def catalog(_request: Request) -> Response:
        return Response(await older.catalog(), media_type="application/json")

    async def index_file(request: Request) -> Response:
        return Response(await older.index_file(request.path_params["name"]))

    return Starlette(
        routes=[
            Route("/index/config.json", config),
            Route("/index/catalog.json", catalog),
            Route("/index/{shard:path}/{name}", index_file),
        ]
    )
