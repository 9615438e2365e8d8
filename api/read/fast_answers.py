"""Prebuilt answers for the fast path, by the bytes of the request line; date and request id are added.

The fast path learns them from the application's own answers and drops them with the cached blob.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from api.read.answer import Fields, content_fields, private_fields, validator_fields
from api.read.cache import CachedBlob
from api.read.representation import Representation
from api.read.routes import BlobRoute, canonical_route, pattern_of
from api.read.surrogate import no_surrogate_fields
from shared.encodings import Coding
from shared.http.conditional import ByteRange
from shared.http.cors import ALLOW_ORIGIN, CREDENTIALS, EXPOSED, VARY

ID_FIELD: Final = b"x-request-id: "
# guarded_protocol.py charges a slow reader this many bytes, as it may hold a body that has left the cache.
MAX_BODY_BYTES: Final = 64 * 1024


class FastAnswer:
    """One representation: the parts of its 200 and 304 heads between the date and the request id."""

    __slots__ = ("body", "etag", "not_modified", "ok")

    def __init__(
        self, route: BlobRoute, representation: Representation, extra: Fields, *, is_private: bool
    ) -> None:
        """representation: with a body. extra: header lines of every answer. is_private: only for holders."""
        whole = ByteRange(0, representation.size_bytes, representation.size_bytes)
        validators = validator_fields(route, representation)
        if is_private:
            validators = private_fields(validators)
        self.ok = _rendered([*validators, *content_fields(route, representation, whole), *extra])
        self.not_modified = _rendered([*validators, *extra])
        self.etag = representation.etag
        self.body = representation.body or b""


class Tally:
    """Counts the fast answers of one route, by status, until they are added to the metrics."""

    __slots__ = ("not_modified", "ok")

    def __init__(self) -> None:
        self.ok = self.not_modified = 0


class FastTarget:
    """A cached blob, and its answers by accepted codings. route: its pattern, as metrics name it."""

    __slots__ = ("answers", "blob", "latest", "latest_codings", "line", "path", "route", "tally")

    def __init__(self, path: bytes, route: str, tally: Tally, blob: CachedBlob) -> None:
        self.path = path
        self.line = b"GET " + path + b" HTTP/1.1"
        self.route = route
        self.tally = tally
        self.blob = blob
        self.answers: dict[tuple[Coding, ...], FastAnswer] = {}
        self.latest: FastAnswer | None = None
        self.latest_codings: tuple[Coding, ...] | None = None

    def answer_for(self, codings: tuple[Coding, ...]) -> FastAnswer | None:
        """The answer for readers who accept these codings. The latest one is kept for the next reader."""
        answer = self.answers.get(codings)
        if answer is not None:
            self.latest, self.latest_codings = answer, codings
        return answer


class FastAnswers:
    """The targets that the fast path can answer without the application, by request line."""

    def __init__(
        self,
        cors_origins: Sequence[str],
        *,
        is_private: bool = False,
        surrogate_fields: Callable[[str], Fields] = no_surrogate_fields,
    ) -> None:
        """surrogate_fields: the header that names the surrogate key of a blob, by the blob's key."""
        self.targets: dict[bytes, FastTarget] = {}
        self.tallies: dict[str, Tally] = {}
        self._by_key: dict[str, FastTarget] = {}
        self._extra = _cors_fields(cors_origins)
        self._surrogate_fields = surrogate_fields
        self._is_private = is_private
        self.takes_origin = not cors_origins

    def learn(self, blob: CachedBlob, codings: tuple[Coding, ...], representation: Representation) -> None:
        """Remember that a reader who accepts these codings gets this representation of the cached blob."""
        if representation.body is None or len(representation.body) > MAX_BODY_BYTES:
            return
        key = blob.identity.info.key
        path, route = canonical_route(key)
        if route.depends_on_accept:
            return
        target = self._by_key.get(key)
        if target is None or target.blob is not blob:
            pattern = pattern_of(route)
            target = FastTarget(path, pattern, self.tallies.setdefault(pattern, Tally()), blob)
            self._by_key[key] = self.targets[target.line] = target
        if codings not in target.answers:
            shared = (one for one in target.answers.values() if one.etag == representation.etag)
            extra = [*self._surrogate_fields(key), *self._extra]
            target.answers[codings] = next(shared, None) or FastAnswer(
                route, representation, extra, is_private=self._is_private
            )

    def forget(self, key: str) -> None:
        """Forget the answers of a blob that is suspect or has left the cache."""
        if (target := self._by_key.pop(key, None)) is not None:
            del self.targets[target.line]

    def clear(self) -> None:
        """Forget all answers, because every blob is suspect."""
        self._by_key.clear()
        self.targets.clear()


def _cors_fields(origins: Sequence[str]) -> Fields:
    """The headers that CorsMiddleware adds to an answer to a request without Origin."""
    if not origins:
        return []
    return [(ALLOW_ORIGIN, b"*") if "*" in origins else CREDENTIALS, EXPOSED, VARY]


def _rendered(fields: Fields) -> bytes:
    return b"".join(name + b": " + value + b"\r\n" for name, value in fields) + ID_FIELD
