"""Signing in with GitHub: an attempt begins and ends in the same browser (contract, 5.3, 5.4)."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import structlog

from api.write.accounts import resolve_account
from api.write.credentials import new_secret, secret_hash
from api.write.github import Github, new_code_verifier
from api.write.queries import oauth_states
from api.write.queries.oauth_states import Attempt
from api.write.services import Services
from api.write.sessions import start_session
from shared.sign_in_errors import GithubOauthDisabled, NextInvalid, OauthStateExpired, OauthStateInvalid
from shared.text import trim

MAX_NEXT_CHARS: Final = 2048

_BROWSER_SECRET: Final = re.compile(r"x07b_[0-9a-f]{64}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Begun:
    """An attempt that begins. location: a URL at GitHub. browser: a secret, kept in the browser's cookie."""

    location: str
    browser: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A successful attempt. next_url: a path of the web UI. secret: of the new session."""

    next_url: str
    secret: str = field(repr=False)


def require_github(services: Services) -> Github:
    """The GitHub client. Raises GithubOauthDisabled."""
    if services.github is None:
        raise GithubOauthDisabled
    return services.github


def parse_next(text: str) -> str:
    """Parse the path of the web UI to return to: one leading slash, `/` if empty. Raises NextInvalid.

    Refuses whatever a browser might read as another host: `//`, `\\`, `://` and control characters.
    """
    path = trim(text) or "/"
    if not path.startswith("/") or path.startswith("//") or "://" in path or "\\" in path:
        raise NextInvalid
    if _CONTROL.search(path) or len(path) > MAX_NEXT_CHARS:
        raise NextInvalid
    return path


async def begin(services: Services, next_url: str, browser: str | None) -> Begun:
    """Begin an attempt and store it. browser: the secret from the browser's cookie, None without one.

    A secret that the browser has is used again, so that two tabs can sign in at the same time.
    Raises GithubOauthDisabled, NextInvalid.
    """
    github, next_url = require_github(services), parse_next(next_url)
    if browser is None or not _BROWSER_SECRET.fullmatch(browser):
        browser = new_secret("x07b_")
    state, code_verifier = new_secret("x07o_"), new_code_verifier()
    async with services.database.transaction() as tx:
        await oauth_states.add(
            tx,
            state,
            next_url,
            code_verifier=code_verifier,
            browser_hash=secret_hash(browser),
            ttl=timedelta(seconds=services.settings.oauth_state_ttl_seconds),
        )
    return Begun(github.authorize_url(state, code_verifier), browser)


async def finish(services: Services, code: str, state: str, browser: str | None) -> SignedIn:
    """End an attempt and start a session of the account that belongs to the GitHub user.

    Raises GithubOauthDisabled, OauthStateInvalid, OauthStateExpired, the errors of Github.profile and
    resolve_account, NextInvalid. The state can be used only once, even if an error is raised.
    """
    github, settings = require_github(services), services.settings
    attempt = await _taken(services, state, browser)
    profile = await github.profile(code, attempt.code_verifier)
    async with services.database.transaction() as tx:
        account = await resolve_account(tx, profile)
        next_url = parse_next(attempt.next_url)
        secret = await start_session(tx, settings, account.user_id)
    log.info("signed_in", user_id=str(account.user_id))
    for name, _ in account.changed:
        await services.notifier.wake_worker(name)
    return SignedIn(next_url, secret)


async def _taken(services: Services, state: str, browser: str | None) -> Attempt:
    """Delete and return the attempt of this state. Raises OauthStateInvalid, OauthStateExpired."""
    if "\0" in state:
        raise OauthStateInvalid
    async with services.database.transaction() as tx:
        attempt = await oauth_states.take(tx, state)
    if attempt is None:
        raise OauthStateInvalid
    if attempt.is_expired:
        raise OauthStateExpired
    if not _is_same_browser(attempt, browser):
        log.warning("sign_in_from_another_browser")
        raise OauthStateInvalid
    return attempt


def _is_same_browser(attempt: Attempt, browser: str | None) -> bool:
    """True for the browser that began the attempt; attempts of the older server record no browser."""
    if attempt.browser_hash is None:
        return True
    return hmac.compare_digest(secret_hash(browser or ""), attempt.browser_hash)
