"""Signing in, sessions, and who may do what."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, Field, ValidationInfo, field_validator, model_validator

from shared.setting_types import (
    BaseUrl,
    Boolean,
    NamespaceOwners,
    OptionalDays,
    OptionalSecret,
    OptionalText,
    OptionalUrl,
    SortedList,
    TrustedIssuers,
    UserIds,
)
from shared.variables import PREFIX, SettingsError


class AccountSettings(BaseModel):
    """Accounts."""

    github_client_id: OptionalText = Field(
        None, description="OAuth application id; with the secret, turns sign-in on."
    )
    github_client_secret: OptionalSecret = Field(None, description="OAuth application secret.")
    github_authorize_base: BaseUrl = Field("https://github.com", description="GitHub's web address.")
    github_api_base: BaseUrl = Field("https://api.github.com", description="GitHub's API address.")
    admin_github_user_ids: UserIds = Field(
        frozenset(), description="GitHub user ids whose sessions are administrators, comma-separated."
    )
    session_cookie_domain: OptionalText = Field(None, description="Domain attribute of the session cookie.")
    session_cookie_secure: Boolean = Field(True, description="Send the session cookie over HTTPS only.")
    session_ttl_seconds: int = Field(
        2_592_000, description="Lifetime of a session, clamped to 1 to 31536000 s."
    )
    oauth_state_ttl_seconds: int = Field(
        600, description="Lifetime of a sign-in attempt, clamped to 1 to 3600 s."
    )
    sign_in_attempts_per_minute: int = Field(
        600, ge=0, description="Sign-in requests per minute from one address; 0: no limit."
    )
    token_creation_attempts_per_minute: int = Field(
        600, ge=0, description="Token creations per minute from one address or one credential; 0: no limit."
    )
    token_max_days: OptionalDays = Field(
        None,
        description="Maximum lifetime of a new token in days, 1 to 3650; a token without an expiry gets this "
        "lifetime. Empty: no limit.",
    )
    secret_scanning_keys_url: OptionalUrl = Field(
        "https://api.github.com/meta/public_keys/secret_scanning",
        description="URL of GitHub's keys for reports of leaked tokens. Empty: reports are refused.",
    )
    trusted_issuers: TrustedIssuers = Field(
        "github=https://token.actions.githubusercontent.com,gitlab=https://gitlab.com",
        validate_default=True,
        description="Issuers whose builds may publish without a stored token, `KIND=URL`, comma-separated. "
        "KIND is `github` or `gitlab`; the first of a kind is its default; http:// only on loopback. "
        "Empty: none.",
    )
    issuer_timeout_seconds: float = Field(
        5.0,
        gt=0,
        le=60,
        description="How long a request for an issuer's document or GitHub's list of keys may take.",
    )
    require_verified_email_for_publish: Boolean = Field(
        True, description="Refuse publishers without a verified GitHub e-mail."
    )
    official_handle: str = Field(
        "webodik", description="Handle of the owner whose packages are `is_official`."
    )
    verified_namespaces: SortedList = Field(
        (), description="Name prefixes shown as verified, comma-separated."
    )
    namespace_owners: NamespaceOwners = Field(
        {},
        description="Who may publish the first version of a package below a namespace, "
        "`NAMESPACE:HANDLE+HANDLE`, comma-separated. Look-alikes of a namespace count as the namespace, the "
        "longest match applies, and administrators always may. Empty: anybody.",
    )

    @field_validator("session_ttl_seconds", "oauth_state_ttl_seconds", mode="before")
    @classmethod
    def _blank_is_the_default(cls, value: object, info: ValidationInfo) -> object:
        """Treat an empty value as unset, as the older server did."""
        is_blank = isinstance(value, str) and not value.strip()
        return cls.model_fields[info.field_name or ""].default if is_blank else value

    @field_validator("session_ttl_seconds")
    @classmethod
    def _clamp_session(cls, value: int) -> int:
        return min(max(value, 1), 31_536_000)

    @field_validator("oauth_state_ttl_seconds")
    @classmethod
    def _clamp_state(cls, value: int) -> int:
        return min(max(value, 1), 3600)

    @model_validator(mode="after")
    def _an_id_has_its_secret(self) -> Self:
        if (self.github_client_id is None) != (self.github_client_secret is None):
            raise SettingsError(
                f"{PREFIX}GITHUB_CLIENT_ID and {PREFIX}GITHUB_CLIENT_SECRET go together; one is not set"
            )
        return self
