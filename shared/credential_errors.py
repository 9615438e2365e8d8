"""Errors of authentication: tokens, sessions and the CSRF checks of sessions."""

from __future__ import annotations

from typing import Final

from shared.errors import RegistryError

BEARER_CHALLENGE: Final = {"www-authenticate": "Bearer"}
"""The header that every 401 has (RFC 9110, 11.6.1; RFC 6750, 3)."""


class AuthRequired(RegistryError):
    """No credential was sent (RFC 9110, 11.6.1)."""

    status = 401
    code = "X07REG_AUTH_REQUIRED"
    default_message = "missing Authorization header"
    default_headers = BEARER_CHALLENGE


class AuthInvalid(RegistryError):
    """The credential is unknown or revoked."""

    status = 401
    code = "X07REG_AUTH_INVALID"
    default_message = "invalid token"
    default_headers = BEARER_CHALLENGE


class AuthExpired(RegistryError):
    """The web session or the token has expired."""

    status = 401
    code = "X07REG_AUTH_EXPIRED"
    default_message = "session expired"
    default_headers = BEARER_CHALLENGE


class SignatureInvalid(RegistryError):
    """The body is not signed by its expected sender."""

    status = 400
    code = "X07REG_SIGNATURE_INVALID"
    default_message = "the signature is not that of this body"


class IdentityInvalid(RegistryError):
    """The identity token does not prove the identity of the build (trusted publishing)."""

    status = 400
    code = "X07REG_IDENTITY_INVALID"
    default_message = "the identity token is refused"


class ScopeInvalid(RegistryError):
    """The request names a token scope that does not exist."""

    status = 400
    code = "X07REG_SCOPE_INVALID"
    default_message = "invalid scope"


class TokenGenerationFailed(RegistryError):
    """A newly generated secret is in use already, so the random source must be broken."""

    code = "X07REG_TOKEN_GENERATION_FAILED"
    default_message = "token generation failed"


class CsrfOriginRequired(RegistryError):
    """A cookie-authenticated write came without an Origin header."""

    status = 403
    code = "X07REG_CSRF_ORIGIN_REQUIRED"
    default_message = "missing Origin header"


class CsrfOriginForbidden(RegistryError):
    """A cookie-authenticated write came from an origin that is not in the CORS list."""

    status = 403
    code = "X07REG_CSRF_ORIGIN_FORBIDDEN"
    default_message = "origin not allowed"


class CsrfRequired(RegistryError):
    """A cookie-authenticated write came without the session's CSRF token."""

    status = 403
    code = "X07REG_CSRF_REQUIRED"
    default_message = "missing x-x07-csrf header"


class CsrfInvalid(RegistryError):
    """A cookie-authenticated write came with another session's CSRF token, or none that exists."""

    status = 403
    code = "X07REG_CSRF_INVALID"
    default_message = "invalid CSRF token"
