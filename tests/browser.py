"""A browser for tests: keeps its own cookies, and takes the steps of a sign-in one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from shared.http.authorities import trusted_authorities

WEB_ORIGIN = "https://web.example"
CALLBACK = "/v1/auth/github/callback"


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal, which must not set a session cookie."""
    assert "x07_session=" not in answer.headers.get("set-cookie", "")
    return answer.status_code, answer.json()["code"]


def query_of(url: str) -> dict[str, str]:
    """The query parameters of a URL."""
    return {key: values[0] for key, values in parse_qs(urlsplit(url).query).items()}


@dataclass
class Browser:
    """http: at the registry, with a cookie jar. redirects are followed by hand."""

    http: httpx.AsyncClient
    github_url: str

    async def start(self, next_url: str | None = None) -> httpx.Response:
        """Ask the registry to begin a sign-in."""
        params = {} if next_url is None else {"next": next_url}
        return await self.http.get("/v1/auth/github/start", params=params)

    async def approve(self, authorize_url: str, login: str) -> str:
        """Approve at GitHub, without the registry's cookies. Returns path and query of the callback."""
        async with httpx.AsyncClient(verify=trusted_authorities()) as elsewhere:
            page = await elsewhere.get(authorize_url)
            assert page.status_code == 200, page.text
            approved = await elsewhere.post(authorize_url, data={"login": login} if login else {})
        back = urlsplit(approved.headers["location"])
        return f"{back.path}?{back.query}"

    async def way_back(self, login: str, next_url: str | None = None) -> str:
        """Begin and approve. Returns path and query of the callback to call next."""
        started = await self.start(next_url)
        assert started.status_code == 302, started.text
        return await self.approve(started.headers["location"], login)

    async def sign_in(self, login: str, next_url: str | None = None) -> httpx.Response:
        """All steps of a sign-in. Returns the callback's answer."""
        return await self.http.get(await self.way_back(login, next_url))

    async def session(self) -> dict[str, Any]:
        """The session as the registry reports it."""
        answer = await self.http.get("/v1/auth/session")
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def write_headers(self) -> dict[str, str]:
        """The headers that a page of the web UI sends with a write."""
        return {"origin": WEB_ORIGIN, "x-x07-csrf": (await self.session())["csrf_token"]}
