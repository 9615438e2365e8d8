"""Endpoints: handlers with their declarations, from which the routes are built.

The declaration is the single source for routing, authentication and the OpenAPI document.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.write.rate_limits import Attempt
from shared.errors import MethodNotAllowed, RegistryError
from shared.http.observation import name_route
from shared.http.path import decoded_parameters
from shared.tracing import span

Handler = Callable[..., Awaitable[Response]]


class Auth(Enum):
    """The credentials that an endpoint accepts (contract, 1.6)."""

    NONE = "none"
    TOKEN = "token"  # noqa: S105 - a kind of credential, not one
    SESSION = "session"
    EITHER = "either"


class Scope(StrEnum):
    """An action that a credential allows."""

    PUBLISH = "publish"
    TOKEN_MANAGE = "token.manage"  # noqa: S105 - a scope's name
    OWNER_MANAGE = "owner.manage"
    ADMIN = "admin"
    YANK = "yank"
    READ = "read"


@dataclass(frozen=True, slots=True)
class QueryParameter:
    """A documented query parameter. kind: its msgspec type. The handler reads it."""

    name: str
    kind: Any
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One method on one path, with what it declares.

    request, response: models of the JSON bodies, None where there is none; a response of `str` is plain text.
    signed: the model of a JSON body whose raw bytes are signed; the handler checks the signature.
    is_upload: the body is an archive, not JSON. status: the status of success; also: other statuses with the
    same model. headers: names of the headers of a success. errors: what the handler raises, in addition to
    the errors of authentication, limits and parsing. limited: the limit of attempts per minute that applies
    (so RateLimited is possible). is_static: the handler uses no dependency. may_have_session: the handler
    reads a session if there is one. is_cached: responses have an ETag and can be 304. shows_packages:
    in a private registry, a credential is needed.
    """

    method: str
    path: str
    handler: Handler
    auth: Auth = Auth.NONE
    scope: Scope | None = None
    query: tuple[QueryParameter, ...] = ()
    request: type[Any] | None = None
    signed: Any = None
    is_upload: bool = False
    response: Any = None
    status: int = 200
    also: tuple[int, ...] = ()
    headers: tuple[str, ...] = ()
    errors: tuple[type[RegistryError], ...] = ()
    limited: Attempt | None = None
    is_static: bool = False
    may_have_session: bool = False
    is_cached: bool = False
    shows_packages: bool = False


class Demand(Protocol):
    """What authentication has to know of an endpoint."""

    @property
    def method(self) -> str:
        """The method of the request; a session needs a CSRF token for all but GET."""

    @property
    def auth(self) -> Auth:
        """The kinds of credential that are accepted."""

    @property
    def scope(self) -> Scope | None:
        """The scope that the credential must have."""


class Endpoints:
    """Collects the endpoints of one resource: `route = Endpoints()` and `@route.get("/v1/…")`."""

    def __init__(self) -> None:
        self.all: list[Endpoint] = []

    def get(self, path: str, **declared: Any) -> Callable[[Handler], Handler]:
        """Declare a GET endpoint; HEAD comes with it."""
        return self._declare("GET", path, declared)

    def post(self, path: str, **declared: Any) -> Callable[[Handler], Handler]:
        """Declare a POST endpoint."""
        return self._declare("POST", path, declared)

    def patch(self, path: str, **declared: Any) -> Callable[[Handler], Handler]:
        """Declare a PATCH endpoint."""
        return self._declare("PATCH", path, declared)

    def delete(self, path: str, **declared: Any) -> Callable[[Handler], Handler]:
        """Declare a DELETE endpoint."""
        return self._declare("DELETE", path, declared)

    def _declare(self, method: str, path: str, declared: dict[str, Any]) -> Callable[[Handler], Handler]:
        """declared: the fields of Endpoint."""

        def declare(handler: Handler) -> Handler:
            self.all.append(Endpoint(method=method, path=path, handler=handler, **declared))
            return handler

        return declare


def build_routes(
    endpoints: Iterable[Endpoint],
    authenticated: Callable[[Endpoint], Callable[[Request], Awaitable[Response]]],
) -> list[Route]:
    """One route for each path, with static segments before parameters (contract, 2: routing notes)."""
    by_path: dict[str, dict[str, Endpoint]] = defaultdict(dict)
    for endpoint in endpoints:
        by_path[endpoint.path][endpoint.method] = endpoint
    paths = sorted(by_path, key=lambda path: [_rank(segment) for segment in path.split("/")])
    return [Route(path, _PathApp(path, by_path[path], authenticated)) for path in paths]


def _rank(segment: str) -> int:
    """Sorts static text first, then a parameter, then a parameter that matches the rest of the path."""
    return 0 if "{" not in segment else 2 if ":path}" in segment else 1


class _PathApp:
    """Dispatches the methods of one path; any other method is 405 with `allow` (RFC 9110, 15.5.6)."""

    def __init__(
        self,
        path: str,
        endpoints: dict[str, Endpoint],
        authenticated: Callable[[Endpoint], Callable[[Request], Awaitable[Response]]],
    ) -> None:
        self._path = path
        self._handlers = {method: authenticated(endpoint) for method, endpoint in endpoints.items()}
        if "GET" in self._handlers:
            self._handlers["HEAD"] = self._handlers["GET"]
        self._allow = ",".join(
            method for method in ("GET", "HEAD", "POST", "PATCH", "DELETE") if method in self._handlers
        )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        name_route(scope, self._path)
        scope["path_params"] = decoded_parameters(scope["path_params"])
        request = Request(scope, receive, send)
        handler = self._handlers.get(request.method)
        if handler is None:
            raise MethodNotAllowed(headers={"allow": self._allow})
        with span(f"{request.method} {self._path}", request_id=scope["state"]["request_id"]):
            response = await handler(request)
        await response(scope, receive, send)
