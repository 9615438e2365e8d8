"""An OpenID Connect issuer on loopback, as GitHub and GitLab are one: real HTTP, keys that rotate.

It signs what a test tells it to, true or not, and gives a build its identity token as GitHub Actions does.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

DISCOVERY, KEYS, ASK = "/.well-known/openid-configuration", "/keys", "/ask"
REQUEST_TOKEN = "secret-of-the-runner"
Key = EllipticCurvePrivateKey | RSAPrivateKey

_numbers = itertools.count(1)


class Issuer:
    """url: where it listens, set by who serves it. answers: by path, what is sent instead of the truth.

    silence: requests are answered when it ends, None for no silence. claims: of the build that asks.
    """

    def __init__(self) -> None:
        self.url = ""
        self.keys: dict[str, Key] = {}
        self.rotate()
        self.answers: dict[str, Response] = {}
        self.silence: asyncio.Event | None = None
        self.asked: list[str] = []
        self.claims: dict[str, Any] = {}
        routes = [
            Route(DISCOVERY, self._discovery),
            Route(KEYS, self._keys),
            Route("/moved", self._keys),
            Route(ASK, self._ask),
        ]
        self.app = Starlette(routes=routes)

    def rotate(self, key: Key | None = None) -> None:
        """From now on there is one key, a new one."""
        self.keys = {f"key-{next(_numbers)}": key or generate_private_key(SECP256R1())}

    def sign(self, claims: dict[str, Any], *, key: Key | None = None, **headers: Any) -> str:
        """A token with these claims. key: another than the issuer's."""
        kid, own = next(iter(self.keys.items()))
        algorithm = "RS256" if isinstance(key or own, RSAPrivateKey) else "ES256"
        return jwt.encode(claims, key or own, algorithm=algorithm, headers={"kid": kid, **headers})

    def github(self, audience: str, **claims: Any) -> dict[str, Any]:
        """The claims of a job of GitHub Actions: octo/hello, release.yml. A claim of None is left out."""
        repository = claims.get("repository", "octo/hello")
        workflow = f"{repository}/.github/workflows/release.yml@refs/tags/v1"
        truth = {
            **self._registered(audience),
            "sub": f"repo:{repository}:ref:refs/tags/v1",
            "repository": repository,
            "repository_owner": repository.partition("/")[0],
            "repository_owner_id": "583231",
            "repository_id": "1296269",
            "workflow_ref": workflow,
            "job_workflow_ref": workflow,
            "event_name": "push",
            "ref": "refs/tags/v1",
            "sha": "6dcb09b5b57875f334f61aebed695e2e4193db5e",
            "run_id": "1658821493",
        }
        return {name: value for name, value in {**truth, **claims}.items() if value is not None}

    def gitlab(self, audience: str, **claims: Any) -> dict[str, Any]:
        """The claims of a job of GitLab CI: acme/tools/hello, .gitlab-ci.yml."""
        host = self.url.partition("//")[2]
        truth = {
            **self._registered(audience),
            "namespace_id": "72",
            "namespace_path": "acme/tools",
            "project_id": "20",
            "project_path": "acme/tools/hello",
            "ci_config_ref_uri": f"{host}/acme/tools/hello//.gitlab-ci.yml@refs/tags/v1",
            "pipeline_id": "212",
            "ref": "v1",
            "sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
        }
        return {name: value for name, value in {**truth, **claims}.items() if value is not None}

    def _registered(self, audience: str) -> dict[str, Any]:
        now = int(time.time())
        times = {"iat": now, "nbf": now - 5, "exp": now + 300}
        return {"iss": self.url, "aud": audience, "jti": f"jti-{next(_numbers)}", **times}

    async def _discovery(self, request: Request) -> Response:
        return await self._answer(request, {"issuer": self.url, "jwks_uri": f"{self.url}{KEYS}"})

    async def _keys(self, request: Request) -> Response:
        return await self._answer(request, {"keys": [jwk(kid, key) for kid, key in self.keys.items()]})

    async def _ask(self, request: Request) -> Response:
        """What $ACTIONS_ID_TOKEN_REQUEST_URL answers to a job."""
        if request.headers.get("authorization") != f"bearer {REQUEST_TOKEN}":
            return Response(status_code=401)
        claims = self.github(request.query_params["audience"], **self.claims)
        return JSONResponse({"count": 1, "value": self.sign(claims)})

    async def _answer(self, request: Request, truth: dict[str, Any]) -> Response:
        self.asked.append(request.url.path)
        if self.silence is not None:
            await self.silence.wait()
        return self.answers.get(request.url.path) or JSONResponse(truth)


def jwk(kid: str, key: Key) -> dict[str, Any]:
    """A public key as issuers list it (RFC 7517)."""
    public = key.public_key()
    if isinstance(key, RSAPrivateKey):
        values, algorithm = RSAAlgorithm.to_jwk(public), "RS256"  # type: ignore[arg-type]
    else:
        values, algorithm = ECAlgorithm.to_jwk(public), "ES256"  # type: ignore[arg-type]
    return {**json.loads(values), "kid": kid, "alg": algorithm, "use": "sig"}
