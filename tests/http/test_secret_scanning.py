"""Reports of leaked tokens in GitHub's partner format: signed, judged, revoked."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    SECP384R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.audit import events
from tests.conftest import MakeSettings
from tests.stack import Registry, bearer, running_registry, serving

PATH = "/v1/secret-scanning/github"
KIND = "x07_registry_token"


class Scanner:
    """GitHub's side, with changeable keys and signed reports. answer: sent instead of the keys."""

    def __init__(self) -> None:
        self.keys: dict[str, EllipticCurvePrivateKey] = {"first": generate_private_key(SECP256R1())}
        self.answer: Response | None = None
        self.asked = 0
        self.app = Starlette(routes=[Route("/keys", self._keys)])

    async def _keys(self, request: Request) -> Response:
        self.asked += 1
        pem = (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        listed = [
            {"key_identifier": name, "key": key.public_key().public_bytes(*pem).decode(), "is_current": True}
            for name, key in self.keys.items()
        ]
        return self.answer or JSONResponse({"public_keys": listed})

    def signed(self, body: bytes, key: str = "first", named: str | None = None) -> dict[str, str]:
        """The headers of a report."""
        signature = self.keys[key].sign(body, ECDSA(SHA256()))
        return {
            "content-type": "application/json",
            "Github-Public-Key-Identifier": named or key,
            "Github-Public-Key-Signature": b64encode(signature).decode(),
        }


@pytest.fixture
def github() -> Scanner:
    """GitHub's scanner."""
    return Scanner()


@pytest_asyncio.fixture
async def scanned(github: Scanner, make_default_settings: MakeSettings) -> AsyncIterator[Registry]:
    """A registry that accepts its reports."""
    async with serving(github.app) as url:
        settings = await make_default_settings(secret_scanning_keys_url=f"{url}/keys")
        async with running_registry(settings, with_worker=False) as running:
            yield running


def report(*tokens: str) -> bytes:
    """The body of a report."""
    url = "https://github.invalid/octo/hello/blob/main/ci.log"
    found = [{"token": token, "type": KIND, "url": url, "source": "content"} for token in tokens]
    return json.dumps(found).encode()


async def test_a_leaked_token_is_revoked_and_what_is_none_is_told(scanned: Registry, github: Scanner) -> None:
    """The documented form and order; a token reported twice counts once, and a revoked one is still ours."""
    user_id = await scanned.add_user("alice")
    leaked = await scanned.add_token(user_id, "publish", secret="x07t_leaked")
    kept = await scanned.add_token(user_id, "publish", secret="x07t_kept")
    body = report(leaked, "x07t_nobody", leaked)

    for _ in range(2):
        answer = await scanned.http.post(PATH, content=body, headers=github.signed(body))

        assert answer.status_code == 200, answer.text
        labels = [(leaked, "true_positive"), ("x07t_nobody", "false_positive"), (leaked, "true_positive")]
        expected = [{"token_raw": token, "token_type": KIND, "label": label} for token, label in labels]
        assert answer.json() == expected

    statuses = [
        (await scanned.http.get("/v1/account", headers=bearer(token))).status_code for token in (leaked, kept)
    ]
    assert statuses == [401, 200]
    (event,) = await events(scanned)
    assert (event.actor, event.action, event.has_token) == ("alice", "token_revoked", False)
    assert event.details is not None
    assert event.details["reported_by"] == "github"
    assert event.details["url"].endswith("/ci.log")
    assert github.asked == 1


async def test_a_report_that_github_did_not_sign_changes_nothing(scanned: Registry, github: Scanner) -> None:
    """Missing headers, an unknown or other key, another body, an invalid signature, another curve."""
    leaked = await scanned.add_token(await scanned.add_user("alice"), "publish")
    body, other = report(leaked), report("x07t_other")
    github.keys |= {"second": generate_private_key(SECP256R1()), "p384": generate_private_key(SECP384R1())}
    good = github.signed(body)
    wrong: list[dict[str, str]] = [
        {"content-type": "application/json"},
        {name: value for name, value in good.items() if "Identifier" not in name},
        github.signed(body, named="unknown"),
        github.signed(body, "second", named="first"),
        github.signed(body, "p384"),
        github.signed(other),
        {**good, "Github-Public-Key-Signature": "AAAA"},
        {**good, "Github-Public-Key-Signature": "not base64"},
    ]
    for headers in wrong:
        answer = await scanned.http.post(PATH, content=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "X07REG_SIGNATURE_INVALID"), headers
    assert (await scanned.http.get("/v1/account", headers=bearer(leaked))).status_code == 200
    assert await events(scanned) == []
    for broken in (b"{}", b"[1]", b"", b"[", b'[{"token":1,"type":"x"}]'):
        answer = await scanned.http.post(PATH, content=broken, headers=github.signed(broken))
        assert (answer.status_code, answer.json()["code"]) == (422, "X07REG_UNPROCESSABLE_BODY"), broken


async def test_a_new_key_is_found_at_once_and_made_up_ones_do_not_flood_github(
    scanned: Registry, github: Scanner
) -> None:
    """An unknown key is looked up, at most ten times a minute."""
    body = report("x07t_nobody")
    assert (await scanned.http.post(PATH, content=body, headers=github.signed(body))).status_code == 200
    github.keys = {"next": generate_private_key(SECP256R1())}
    assert (
        await scanned.http.post(PATH, content=body, headers=github.signed(body, "next"))
    ).status_code == 200
    for number in range(20):
        headers = github.signed(body, "next", named=f"made-up-{number}")
        assert (await scanned.http.post(PATH, content=body, headers=headers)).status_code == 400
    assert github.asked == 11


async def test_without_keys_a_report_is_for_later(scanned: Registry, github: Scanner) -> None:
    """503 makes GitHub retry: after an error, a redirect, invalid data, or too much data."""
    body = report("x07t_nobody")
    answers: list[Any] = [
        Response("no", 500),
        Response(status_code=302, headers={"location": "/keys"}),
        Response("[]"),
        Response("x" * 300_000),
    ]
    for github.answer in answers:
        answer = await scanned.http.post(PATH, content=body, headers=github.signed(body))
        assert (answer.status_code, answer.json()["code"]) == (503, "X07REG_UNAVAILABLE")
        assert int(answer.headers["retry-after"]) > 0
    github.answer = None
    assert (await scanned.http.post(PATH, content=body, headers=github.signed(body))).status_code == 200


async def test_where_no_keys_are_configured_reports_are_not_taken(
    make_default_settings: MakeSettings,
) -> None:
    """The path is then unknown (404)."""
    settings = await make_default_settings(secret_scanning_keys_url="")
    async with running_registry(settings, with_worker=False) as registry:
        answer = await registry.http.post(PATH, content=b"[]")
        assert (answer.status_code, answer.json()["code"]) == (404, "X07REG_NOT_FOUND")
