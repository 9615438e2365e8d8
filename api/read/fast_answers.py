"""Prebuilt answers for the fast path, by the bytes of the request line; date and request id are added.

The fast path learns them from the application's own answers and drops them with the cached blob.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from api.read.answer import Fields, content_fields, private_fields, validator_fields
from api.read.cache import CachedBlob
from api.read.representation import Representation
from api.read.routes import BlobRoute, canonical_path, canonical_route, pattern_of
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
    """Counts the fast answers of one route, by status, until they are added to the metrics.

    loaded: those of them that waited for a load.
    """

    __slots__ = ("loaded", "not_modified", "ok")

    def __init__(self) -> None:
        self.ok = self.not_modified = self.loaded = 0


class FastTarget:
    """A cached blob, and its answers by accepted codings.

    learned: the representations that the application has answered with. Their answers are rendered when the
    fast path first asks for them, because most blobs that a small cache loads are asked for only once.
    route: its pattern, as metrics name it; with tally, it is there when there is an answer.
    """

    __slots__ = (
        "_render",
        "answers",
        "blob",
        "latest",
        "latest_codings",
        "learned",
        "line",
        "path",
        "route",
        "tally",
    )

    route: str
    tally: Tally

    def __init__(
        self, path: bytes, blob: CachedBlob, render: Callable[[FastTarget, Representation], FastAnswer]
    ) -> None:
        self.path = path
        self.line = b"GET " + path + b" HTTP/1.1"
        self.blob = blob
        self.learned: dict[tuple[Coding, ...], Representation] = {}
        self.answers: dict[tuple[Coding, ...], FastAnswer] = {}
        self.latest: FastAnswer | None = None
        self.latest_codings: tuple[Coding, ...] | None = None
        self._render = render

    def answer_for(self, codings: tuple[Coding, ...]) -> FastAnswer | None:
        """The answer for readers who accept these codings. The latest one is kept for the next reader."""
        answer = self.answers.get(codings)
        if answer is None and (representation := self.learned.get(codings)) is not None:
            answer = self.answers[codings] = self._answer_with(representation)
        if answer is not None:
            self.latest, self.latest_codings = answer, codings
        return answer

    def _answer_with(self, representation: Representation) -> FastAnswer:
        shared = (one for one in self.answers.values() if one.etag == representation.etag)
        return next(shared, None) or self._render(self, representation)


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
        target = self._by_key.get(key)
        if target is None or target.blob is not blob:
            target = FastTarget(canonical_path(key), blob, self._rendered_for)
            self._by_key[key] = self.targets[target.line] = target
        target.learned.setdefault(codings, representation)

    def _rendered_for(self, target: FastTarget, representation: Representation) -> FastAnswer:
        key = target.blob.identity.info.key
        route = canonical_route(key)
        target.route = pattern_of(route)
        target.tally = self.tallies.setdefault(target.route, Tally())
        extra = [*self._surrogate_fields(key), *self._extra]
        return FastAnswer(route, representation, extra, is_private=self._is_private)

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
