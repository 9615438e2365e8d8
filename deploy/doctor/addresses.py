"""Checks of addresses: GitHub, and the public base URL by which clients reach this registry."""

from __future__ import annotations

from typing import Final

import httpx
import msgspec

from deploy.doctor.finding import Finding, failed, off, ok
from indexer.config import render_config
from shared.http.authorities import trusted_authorities
from shared.settings import Settings

TIMEOUT_S: Final = 10.0
BASE: Final = "public base"
BASE_MEND: Final = (
    "start `x07-registry serve read`, point the edge at it, or correct X07_REGISTRY_PUBLIC_BASE"
)
GITHUB: Final = "github"
GITHUB_MEND: Final = (
    "allow this machine to reach it over HTTPS, or correct X07_REGISTRY_GITHUB_AUTHORIZE_BASE and _API_BASE"
)
# GitHub's error for a wrong code, sent by an application that it knows.
WRONG_CODE: Final = "bad_verification_code"


async def examine_public_base(settings: Settings) -> list[Finding]:
    """One finding: config.json, read from the address that clients use, belongs to these settings."""
    url = f"{settings.public_base}/index/config.json?x07_refresh=1"
    async with httpx.AsyncClient(timeout=TIMEOUT_S, verify=trusted_authorities()) as http:
        answer = await http.get(url)
    if answer.status_code == httpx.codes.NOT_FOUND:
        mend = "start `x07-registry worker`: it writes the file; point the edge at the read service"
        return [failed(BASE, f"{url} does not exist (404)", mend)]
    if settings.reads_need_token and answer.status_code == httpx.codes.UNAUTHORIZED:
        return [ok(BASE, f"{settings.public_base} serves a private registry (401 without a token)")]
    if answer.status_code != httpx.codes.OK:
        return [failed(BASE, f"{url} answers {answer.status_code}", BASE_MEND)]
    if answer.content != render_config(settings):
        wrong = f"{url} was made with other settings, or belongs to another registry"
        mend = "give every process the same settings, restart the workers, and check X07_REGISTRY_PUBLIC_BASE"
        return [failed(BASE, wrong, mend)]
    if settings.github_client_id and settings.session_cookie_secure and _is_plain(settings.public_base):
        wrong = f"{settings.public_base} is not https, and browsers send the session cookie only over https"
        return [failed(BASE, wrong, "serve it over https and set X07_REGISTRY_PUBLIC_BASE to that URL")]
    return [ok(BASE, f"{settings.public_base} serves this registry")]


def _is_plain(url: str) -> bool:
    return not url.startswith("https://")


async def examine_github(settings: Settings) -> list[Finding]:
    """One finding: both addresses answer, and GitHub accepts the application and its secret."""
    if settings.github_client_id is None or settings.github_client_secret is None:
        return [off(GITHUB, "nobody can sign in: X07_REGISTRY_GITHUB_CLIENT_ID is not set")]
    form = {
        "client_id": settings.github_client_id,
        "client_secret": settings.github_client_secret.get_secret_value(),
        "code": "x07-registry-doctor",
    }
    async with httpx.AsyncClient(timeout=TIMEOUT_S, headers={"accept": "application/json"}) as http:
        user = await http.get(f"{settings.github_api_base}/user")
        token = await http.post(f"{settings.github_authorize_base}/login/oauth/access_token", data=form)
    if user.status_code != httpx.codes.UNAUTHORIZED:
        wrong = f"{settings.github_api_base}/user answers {user.status_code} without a token, not 401"
        return [failed(GITHUB, wrong, GITHUB_MEND)]
    error = _error_of(token)
    if error != WRONG_CODE:
        wrong = f"it refuses this application: {error}"
        mend = "correct X07_REGISTRY_GITHUB_CLIENT_ID and _CLIENT_SECRET"
        return [failed(GITHUB, wrong, mend)]
    return [ok(GITHUB, "answers, and accepts this application")]


class _TokenError(msgspec.Struct, frozen=True):
    """RFC 6749, 5.2; GitHub sends it with status 200."""

    error: str


def _error_of(answer: httpx.Response) -> str:
    """The reason why a token request failed: GitHub's error code, or the status."""
    try:
        return msgspec.json.decode(answer.content, type=_TokenError).error
    except msgspec.DecodeError:
        return f"status {answer.status_code}"
