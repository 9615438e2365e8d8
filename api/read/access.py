"""Decides who may read what is private: holders of a token that the worker has listed (shared/access.py).

Everything is private, or the packages that some patterns of names cover. Whoever may not read one of these
gets the answer for a package that does not exist, and it takes the same way through cache and storage: the
file of a name that no package can have is looked up instead.

The list is confirmed at least twice in a time-to-live, and at once after a change message. A reader that has
lost storage keeps using its list for a bounded time, and refuses reads after that.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from math import inf
from typing import Final

import msgspec
import structlog

from shared.access import ACCESS_KEY, Grant, access_interval_s, parse_access
from shared.blobs import PRIVATE_PREFIX, hidden_key, name_in_key
from shared.credential_errors import AuthInvalid, AuthRequired
from shared.errors import RegistryError, StorageUnavailable
from shared.private_names import covers, is_private
from shared.settings import Settings
from shared.storage.interface import Found, NotModified, Readable

BEARER: Final = b"Bearer "
LOAD_TIMEOUT_S: Final = 2.0
PAUSE_AFTER_FAILURE_S: Final = 1.0

log = structlog.get_logger()


class Public:
    """The access rule of a public registry: everybody may read."""

    fresh_until = inf
    needs_token = False

    def until(self, authorization: Sequence[bytes]) -> float | None:
        """The end of time: a public registry needs no permission."""
        return inf

    def is_private(self, key: str) -> bool:
        """False: nothing is private."""
        return False

    async def key_for(self, key: str, request: Mapping[bytes, Sequence[str]]) -> str:
        """The key itself; no catalog of private packages is shown, if one is left over."""
        return hidden_key(key) if key.startswith(PRIVATE_PREFIX) else key

    def suspect(self) -> None:
        """A public registry has no list."""

    def when_changed(self, call: Callable[[], None]) -> None:
        """A public registry has no list."""


class AccessList:
    """Holders of a listed token may read everything.

    fresh_until: monotonic time until which the list may be used.
    """

    needs_token = True

    def __init__(self, storage: Readable, unasked_s: float, grace_s: float) -> None:
        """unasked_s: how long a list is used unasked. grace_s: how long while storage cannot be asked."""
        self._storage, self._unasked_s, self._grace_s = storage, unasked_s, grace_s
        self._tokens: Mapping[str, Grant] = {}
        self._revision: str | None = None
        self._confirmed_at = self._suspect_since = -inf
        self._loading: asyncio.Task[None] | None = None
        self._calls: list[Callable[[], None]] = []
        self.fresh_until = -inf

    def when_changed(self, call: Callable[[], None]) -> None:
        """Call this after each change of the list."""
        self._calls.append(call)

    def suspect(self) -> None:
        """The list may have changed: the next request waits until it is confirmed."""
        self._suspect_since, self.fresh_until = time.monotonic(), -inf

    def until(self, authorization: Sequence[bytes]) -> float | None:
        """Until when, in monotonic time, these values of Authorization allow reads; None: not at all."""
        if (grant := self._grant_of(authorization)) is None:
            return None
        return inf if grant.ends is None else time.monotonic() + grant.ends - time.time()

    def is_private(self, key: str) -> bool:
        """True: everything is private."""
        return True

    async def key_for(self, key: str, request: Mapping[bytes, Sequence[str]]) -> str:
        """The key itself, for holders of a listed token. Raises AuthRequired or AuthInvalid for others.

        Raises StorageUnavailable when the list has been out of reach for too long.
        """
        values = _authorization(request)
        if not any(value.startswith(BEARER) for value in values):
            raise AuthRequired("this registry is private; send Authorization: Bearer and a token")
        if await self.granted(values) is None:
            raise AuthInvalid("this token is unknown, revoked or expired; make a new one")
        return hidden_key(key) if key.startswith(PRIVATE_PREFIX) else key

    async def granted(self, authorization: Sequence[bytes]) -> Grant | None:
        """What a token may do, by a list that is confirmed. Raises StorageUnavailable."""
        while time.monotonic() >= self.fresh_until:
            await self._confirm()
        return self._grant_of(authorization)

    def _grant_of(self, authorization: Sequence[bytes]) -> Grant | None:
        if len(authorization) != 1 or not (value := authorization[0].strip(b" \t")).startswith(BEARER):
            return None
        grant = self._tokens.get(hashlib.sha256(value.removeprefix(BEARER).strip()).hexdigest())
        return grant if grant is not None and (grant.ends is None or grant.ends > time.time()) else None

    async def _confirm(self) -> None:
        if self._loading is None:
            self._loading = asyncio.create_task(self._load())
            self._loading.add_done_callback(_look_at)
        await asyncio.shield(self._loading)

    async def _load(self) -> None:
        began = time.monotonic()
        try:
            async with asyncio.timeout(LOAD_TIMEOUT_S):
                await self._read()
        except (RegistryError, TimeoutError, msgspec.MsgspecError) as error:
            self._go_on_without(error)
        else:
            self._confirmed_at = began
            if self._suspect_since < began:  # else it may have changed while it was read
                self.fresh_until = began + self._unasked_s
        finally:
            self._loading = None

    async def _read(self) -> None:
        outcome = await self._storage.get(ACCESS_KEY, if_revision=self._revision)
        if isinstance(outcome, NotModified):
            return
        if not isinstance(outcome, Found):
            raise StorageUnavailable("no worker has written the list of valid tokens yet, try again")
        self._tokens, self._revision = parse_access(outcome.body), outcome.info.revision
        for call in self._calls:
            call()

    def _go_on_without(self, error: Exception) -> None:
        """Use the present list a little longer. Raises StorageUnavailable when it is too old."""
        now = time.monotonic()
        if now - self._confirmed_at > self._grace_s:
            log.warning("access_list_unavailable", error=type(error).__name__)
            raise StorageUnavailable("the list of valid tokens cannot be confirmed, try again") from None
        log.warning("access_list_not_confirmed", error=type(error).__name__)
        self.fresh_until = min(now + PAUSE_AFTER_FAILURE_S, self._confirmed_at + self._grace_s)


class Namespaces(Public):
    """Everybody may read, except for the packages that some patterns cover. patterns: of their names."""

    def __init__(self, tokens: AccessList, patterns: Collection[str]) -> None:
        self._tokens, self._patterns = tokens, patterns

    def is_private(self, key: str) -> bool:
        """True for the files of a private package, and for a catalog of private packages."""
        return key.startswith(PRIVATE_PREFIX) or is_private(name_in_key(key), self._patterns)

    async def key_for(self, key: str, request: Mapping[bytes, Sequence[str]]) -> str:
        """The key, or a key that no file has, for who may not read the file. Raises StorageUnavailable."""
        if not self.is_private(key):
            return key
        values = _authorization(request)
        grant = await self._tokens.granted(values) if values else None
        is_shown = grant is not None and any(covers(right, name_in_key(key)) for right in grant.private)
        return key if is_shown else hidden_key(key)

    def suspect(self) -> None:
        """The list of tokens may have changed."""
        self._tokens.suspect()


Access = Public | AccessList


def access_of(storage: Readable, settings: Settings) -> Access:
    """The rule of a registry with these settings."""
    if not settings.has_private_reads:
        return Public()
    unasked_s = access_interval_s(settings.read_ttl_seconds)
    tokens = AccessList(storage, unasked_s, settings.access_grace_seconds)
    return tokens if settings.reads_need_token else Namespaces(tokens, settings.private_namespaces)


def _authorization(request: Mapping[bytes, Sequence[str]]) -> list[bytes]:
    return [value.encode("latin-1") for value in request.get(b"authorization", ())]


def _look_at(task: asyncio.Task[None]) -> None:
    """Retrieve the exception, so that asyncio does not report it; each waiter raises it."""
    if not task.cancelled():
        task.exception()
