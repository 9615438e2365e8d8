"""Checks identity tokens of builds: JSON Web Tokens of OpenID Connect issuers that the settings name.

Follows RFC 7519 and 7515, with PyJWT. Only RS256 and ES256 are accepted, with a key of the issuer that is for
this algorithm. The keys come from the issuer's discovery document (OpenID Connect Discovery 1.0, 4), which
may refer only to its own origin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import urlsplit

import jwt
import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK

from api.write.remote_json import RemoteJson, RemoteKeys, unavailable
from shared.credential_errors import IdentityInvalid
from shared.setting_types import TrustedIssuer
from shared.text import rust_quote

LEEWAY: Final = timedelta(seconds=60)
LONGEST: Final = timedelta(days=31)
MAX_TOKEN_CHARS: Final = 16_384
RSA_BITS: Final = range(2048, 8193)
MAX_KEYS: Final = 100
MAX_JTI_CHARS: Final = 255
REQUIRED: Final = ["iss", "aud", "exp", "iat", "jti"]
# Exceptions of PyJWT for bytes that are not a token, and for faults that it does not check: nesting, numbers.
JWT_FAILURES: Final = (jwt.PyJWTError, RecursionError, OverflowError, ValueError)

Shape = TypeVar("Shape", bound=msgspec.Struct)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Identity:
    """A checked identity token. claims: all of them. jti: its one number. expires_at: UTC."""

    kind: str
    issuer: str
    jti: str
    expires_at: datetime
    claims: Mapping[str, Any]


class _Discovery(msgspec.Struct, frozen=True):
    issuer: str
    jwks_uri: str


class _Keys(msgspec.Struct, frozen=True):
    keys: Annotated[tuple[dict[str, Any], ...], msgspec.Meta(max_length=MAX_KEYS)]


class IdentityTokens:
    """The issuers that this registry trusts, and their keys."""

    def __init__(self, issuers: Sequence[TrustedIssuer], audience: str, timeout_s: float) -> None:
        """audience: the required audience of a token. timeout_s: time limit for one document in seconds."""
        self._audience = audience
        self._kinds = {issuer.url: issuer.kind for issuer in issuers}
        self._remote = RemoteJson(timeout_s)
        self._keys = {url: RemoteKeys(partial(self._load, url)) for url in self._kinds}

    async def verify(self, token: str) -> Identity:
        """Check a token and return its identity.

        Raises IdentityInvalid; Unavailable without the issuer's keys.
        """
        header, issuer = _unverified(token)
        kind = self._kinds.get(issuer)
        if kind is None:
            raise IdentityInvalid(
                f"the issuer {rust_quote(issuer[:200])} is not trusted here; GET /v1/trusted-publishing "
                "lists those that are"
            )
        key = await self._keys[issuer].get(str(header.get("kid")))
        if key is None:
            raise IdentityInvalid("the issuer has no key with the `kid` of this token")
        claims = self._verified(token, key, issuer)
        expires_at = _moment(claims["exp"])
        return Identity(kind, issuer, claims["jti"], expires_at, claims)

    async def close(self) -> None:
        """Close every connection."""
        await self._remote.close()

    def _verified(self, token: str, key: PyJWK, issuer: str) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                audience=self._audience,
                issuer=issuer,
                leeway=LEEWAY,
                options={"require": REQUIRED, "strict_aud": True},
            )
        except jwt.InvalidAudienceError:
            raise refused(f"its audience is not {rust_quote(self._audience)}") from None
        except JWT_FAILURES as error:
            raise refused(str(error)[:200]) from None
        if not 0 < len(claims["jti"]) <= MAX_JTI_CHARS or not claims["jti"].isprintable():
            raise refused("its jti is empty, too long, or no text")
        return claims

    async def _load(self, issuer: str) -> Mapping[str, PyJWK]:
        """The issuer's keys, by `kid`. Raises Unavailable."""
        address = f"{issuer}/.well-known/openid-configuration"
        discovery = await self._document(address, _Discovery)
        if discovery.issuer != issuer:
            raise unavailable(address, "it is the document of another issuer")
        if _origin(discovery.jwks_uri) != _origin(issuer):
            raise unavailable(address, "its jwks_uri is at another origin")
        document = await self._document(discovery.jwks_uri, _Keys)
        keys = [key for key in map(_key, document.keys) if key is not None]
        return {str(key.key_id): key for key in keys}

    async def _document(self, url: str, shape: type[Shape]) -> Shape:
        try:
            return msgspec.json.decode(await self._remote.get(url), type=shape)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise unavailable(url, "not the document that belongs here") from None


def refused(reason: str) -> IdentityInvalid:
    """The error for a token that fails a check."""
    log.warning("identity_refused", reason=reason)
    return IdentityInvalid(f"the identity token is refused: {reason}")


def _unverified(token: str) -> tuple[dict[str, Any], str]:
    """Header and issuer in the unverified token; they only choose the key. Raises IdentityInvalid."""
    try:
        header = jwt.get_unverified_header(token)
        issuer = jwt.decode(token, options={"verify_signature": False}).get("iss")
    except JWT_FAILURES:
        raise refused("it is no JSON Web Token") from None
    if header.get("alg") not in ("RS256", "ES256"):
        raise refused("its algorithm is neither RS256 nor ES256")
    if not isinstance(issuer, str):
        raise refused("it names no issuer")
    return header, issuer


def _key(values: dict[str, Any]) -> PyJWK | None:
    """A key for RS256 or ES256; None for any other key, because issuers may have keys for other uses."""
    kinds = {("RSA", None): "RS256", ("EC", "P-256"): "ES256"}
    algorithm = kinds.get((str(values.get("kty")), values.get("crv")))
    is_ours = values.get("alg", algorithm) == algorithm and values.get("use", "sig") == "sig"
    if algorithm is None or not is_ours or not isinstance(values.get("kid"), str):
        return None
    try:
        key = PyJWK.from_dict(values, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    is_weak = isinstance(key.key, RSAPublicKey) and key.key.key_size not in RSA_BITS
    return None if is_weak else key


def _moment(exp: Any) -> datetime:
    """The expiry of a token, which must not be far off. Raises IdentityInvalid."""
    now = datetime.now(UTC)
    if int(exp) > (now + LONGEST).timestamp():
        raise refused(f"it lasts longer than {LONGEST.days} days")
    return datetime.fromtimestamp(int(exp), UTC)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.netloc.lower(), parts.port
    except ValueError:
        return "", None, None
