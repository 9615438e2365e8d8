"""Errors of signing in with GitHub."""

from __future__ import annotations

from shared.errors import RegistryError


class NextInvalid(RegistryError):
    """The address to return to after signing in is not a path of the web UI."""

    status = 400
    code = "X07REG_AUTH_NEXT_INVALID"
    default_message = "next must be a path that starts with one /"


class GithubOauthDisabled(RegistryError):
    """This registry has no GitHub sign-in."""

    status = 400
    code = "X07REG_GITHUB_OAUTH_DISABLED"
    default_message = "GitHub sign-in is not configured"


class OauthFailed(RegistryError):
    """GitHub sent the browser back with an error (RFC 6749, 4.1.2.1)."""

    status = 400
    code = "X07REG_GITHUB_OAUTH_FAILED"
    default_message = "sign-in failed"


class OauthCodeMissing(RegistryError):
    """The callback has no `code`."""

    status = 400
    code = "X07REG_GITHUB_OAUTH_CODE_MISSING"
    default_message = "missing code"


class OauthStateMissing(RegistryError):
    """The callback has no `state`."""

    status = 400
    code = "X07REG_GITHUB_OAUTH_STATE_MISSING"
    default_message = "missing state"


class OauthStateInvalid(RegistryError):
    """The sign-in attempt is unknown, was used, or was begun in another browser."""

    status = 400
    code = "X07REG_GITHUB_OAUTH_STATE_INVALID"
    default_message = "invalid state; start signing in again"


class OauthStateExpired(RegistryError):
    """The sign-in attempt took too long."""

    status = 400
    code = "X07REG_GITHUB_OAUTH_STATE_EXPIRED"
    default_message = "state expired; start signing in again"


class OauthTokenRequestFailed(RegistryError):
    """The request to GitHub for an access token failed."""

    status = 502
    code = "X07REG_GITHUB_OAUTH_TOKEN_REQUEST_FAILED"
    default_message = "GitHub token request failed"


class OauthTokenResponseInvalid(RegistryError):
    """GitHub's answer to the token request is not the expected JSON."""

    status = 502
    code = "X07REG_GITHUB_OAUTH_TOKEN_RESPONSE_INVALID"
    default_message = "GitHub token response invalid"


class OauthTokenExchangeFailed(RegistryError):
    """GitHub gave no access token for the code; the message is GitHub's."""

    status = 502
    code = "X07REG_GITHUB_OAUTH_TOKEN_EXCHANGE_FAILED"
    default_message = "token exchange failed"


class OauthUserRequestFailed(RegistryError):
    """The request to GitHub for the user who signed in failed."""

    status = 502
    code = "X07REG_GITHUB_OAUTH_USER_REQUEST_FAILED"
    default_message = "GitHub user request failed"


class OauthUserResponseInvalid(RegistryError):
    """GitHub's answer to the request for the user is not the expected JSON."""

    status = 502
    code = "X07REG_GITHUB_OAUTH_USER_RESPONSE_INVALID"
    default_message = "GitHub user response invalid"


class OauthEmailsRequestFailed(RegistryError):
    """The request to GitHub for the user's e-mail addresses failed."""

    status = 502
    code = "X07REG_GITHUB_OAUTH_EMAILS_REQUEST_FAILED"
    default_message = "GitHub emails request failed"


class OauthEmailsResponseInvalid(RegistryError):
    """GitHub's answer to the request for e-mail addresses is not the expected JSON."""

    status = 502
    code = "X07REG_GITHUB_OAUTH_EMAILS_RESPONSE_INVALID"
    default_message = "GitHub emails response invalid"


class HandleTaken(RegistryError):
    """The GitHub login is the handle of an account that may not be taken over."""

    status = 409
    code = "X07REG_GITHUB_HANDLE_TAKEN"
    default_message = "handle is taken by another account"
