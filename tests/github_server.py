"""A small GitHub server on loopback, with the pages and answers that sign-in needs, and failures on demand.

It is as strict as GitHub where that matters: a code works once, only for the client and redirect that
requested it, and only with the PKCE verifier of its challenge.
"""

from __future__ import annotations

import hashlib
import html
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

TOKEN, USER, EMAILS = "/login/oauth/access_token", "/user", "/user/emails"
CLIENT_ID = "x07-client"
CLIENT_SECRET = "x07-client-secret-d41d8cd9"


@dataclass
class Person:
    """A GitHub user. emails: as listed by the API."""

    id: int
    login: str
    emails: list[dict[str, Any]]


@dataclass(frozen=True)
class Grant:
    """The grant behind a code or a token."""

    person: Person
    redirect_uri: str
    challenge: str


@dataclass
class Exchange:
    """A request from the registry. form: of a token request."""

    path: str
    headers: dict[str, str]
    form: dict[str, str] = field(default_factory=dict)


def email(address: str, *, primary: bool = True, verified: bool = True) -> dict[str, Any]:
    """An entry of the address list."""
    return {"email": address, "primary": primary, "verified": verified, "visibility": None}


def instead(status: int, body: str = "") -> Response:
    """An answer that replaces GitHub's real one."""
    return Response(body, status, media_type="application/json")


class GithubServer:
    """The users of this GitHub server, and the requests that it received.

    url: its address, set by the fixture. answers: answers by path that replace the real ones.
    """

    def __init__(self) -> None:
        self.url = ""
        self.people: dict[str, Person] = {}
        self.answers: dict[str, Response] = {}
        self.asked: list[Exchange] = []
        self._codes: dict[str, Grant] = {}
        self._tokens: dict[str, Grant] = {}
        self.app = Starlette(
            routes=[
                Route("/login/oauth/authorize", self._authorize, methods=["GET", "POST"]),
                Route(TOKEN, self._access_token, methods=["POST"]),
                Route(USER, self._user),
                Route(EMAILS, self._emails),
                Route("/moved/user", self._user),
            ]
        )

    def add(self, login: str, github_id: int, *emails: dict[str, Any]) -> Person:
        """Add a user, with one verified primary address unless others are given."""
        listed = list(emails) or [email(f"{login.strip().lower()}@mail.invalid")]
        self.people[login] = Person(github_id, login, listed)
        return self.people[login]

    def rename(self, login: str, new_login: str) -> None:
        """Change a user's login."""
        person = self.people.pop(login)
        person.login = new_login
        self.people[new_login] = person

    def grant(self, login: str, redirect_uri: str, challenge: str = "") -> str:
        """A code, as if the user had approved."""
        code = secrets.token_hex(10)
        self._codes[code] = Grant(self.people[login], redirect_uri, challenge)
        return code

    async def _authorize(self, request: Request) -> Response:
        """The consent page; posting it with a login approves, without one it refuses."""
        query = request.query_params
        if query["client_id"] != CLIENT_ID or query.get("code_challenge_method", "S256") != "S256":
            return Response("unknown application", 404)
        if request.method == "GET":
            return HTMLResponse(self._consent_page())
        chosen = parse_qs((await request.body()).decode()).get("login", [""])[0]
        answer = {"state": query["state"]}
        if chosen:
            code = self.grant(chosen, query["redirect_uri"], query.get("code_challenge", ""))
            answer = {"code": code, **answer}
        else:
            answer = {"error": "access_denied", "error_description": "The user denied access", **answer}
        return RedirectResponse(f"{query['redirect_uri']}?{urlencode(answer)}", 302)

    def _consent_page(self) -> str:
        buttons = "".join(
            f'<button name="login" value="{html.escape(login)}">Authorize as {html.escape(login)}</button>'
            for login in self.people
        )
        return f'<!doctype html><title>GitHub</title><form method="post">{buttons}</form>'

    async def _access_token(self, request: Request) -> Response:
        form = {key: values[0] for key, values in parse_qs((await request.body()).decode()).items()}
        self.asked.append(Exchange(request.url.path, dict(request.headers), form))
        if request.url.path in self.answers:
            return self.answers[request.url.path]
        grant = self._codes.pop(form.get("code", ""), None)
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            return _refused("incorrect_client_credentials", "The client_id and/or client_secret is wrong.")
        if grant is None or grant.challenge != _challenge_of(form.get("code_verifier", "")):
            return _refused("bad_verification_code", "The code passed is incorrect or expired.")
        if grant.redirect_uri != form.get("redirect_uri"):
            return _refused("redirect_uri_mismatch", "The redirect_uri does not match.")
        token = f"gho_{secrets.token_hex(18)}"
        self._tokens[token] = grant
        answer = {"access_token": token, "token_type": "bearer", "scope": "read:user,user:email"}
        return JSONResponse(answer, headers={"set-cookie": f"_gh_sess={secrets.token_hex(4)}; Path=/"})

    async def _user(self, request: Request) -> Response:
        person = self._known(request)
        if isinstance(person, Response):
            return person
        urls = dict.fromkeys(("avatar_url", "html_url"), f"https://github.invalid/{person.login}")
        return JSONResponse({"id": person.id, "login": person.login, "type": "User", **urls})

    async def _emails(self, request: Request) -> Response:
        person = self._known(request)
        return person if isinstance(person, Response) else JSONResponse(person.emails)

    def _known(self, request: Request) -> Person | Response:
        """The user of the token, or the replacing answer."""
        self.asked.append(Exchange(request.url.path, dict(request.headers)))
        if request.url.path in self.answers:
            return self.answers[request.url.path]
        grant = self._tokens.get(request.headers.get("authorization", "").removeprefix("Bearer "))
        return grant.person if grant else JSONResponse({"message": "Bad credentials"}, 401)


def _challenge_of(verifier: str) -> str:
    """The S256 challenge, computed independently; empty without a verifier (RFC 7636, 4.6)."""
    if not verifier:
        return ""
    return urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def _refused(error: str, description: str) -> Response:
    """A refusal, which GitHub sends with status 200."""
    return JSONResponse({"error": error, "error_description": description})
