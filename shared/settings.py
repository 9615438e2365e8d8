"""Every setting of every part, once: variable, type, default and meaning.

The page docs/settings.md is made from this class and a test compares the two. Settings are built
in deploy/ and passed down; no other module reads the environment.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    AliasChoices,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.setting_types import (
    BaseUrl,
    Bind,
    Boolean,
    CommaList,
    DatabaseUrl,
    KeyPrefix,
    LintCommand,
    LoweredList,
    Networks,
    OptionalBind,
    OptionalText,
    OptionalUrl,
    Origins,
    RedisUrl,
    SchemaName,
    SortedList,
    StopAt,
    UserIds,
)
from shared.signing import Signer, SigningKey, parse_public_key

PREFIX = "X07_REGISTRY_"


class SettingsError(Exception):
    """A variable has a value that is not allowed; the message names it and says what is."""


class Settings(BaseSettings):
    """All settings. Field `storage` is the variable `X07_REGISTRY_STORAGE`, and so on."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, case_sensitive=False, populate_by_name=True, frozen=True, extra="ignore"
    )

    bind: Bind = Field("127.0.0.1:8080", description="Address to listen on, HOST:PORT.")
    public_base: BaseUrl = Field(
        "http://127.0.0.1:8080", description="URL under which clients reach the registry."
    )
    web_base: BaseUrl = Field("https://x07.io", description="URL of the web UI; sign-in returns there.")
    database_url: DatabaseUrl = Field(
        SecretStr("postgres://x07:x07@127.0.0.1:5432/x07_registry"),
        validation_alias=AliasChoices(f"{PREFIX}DATABASE_URL", "DATABASE_URL"),
        description="Postgres, as libpq or sqlx writes it (`postgres://`, `?host=/socket/dir`, `sslmode`).",
    )
    database_schema: SchemaName = Field("public", description="Schema that holds the tables.")
    database_pool_size: int = Field(10, ge=1, le=1000, description="Connections a process, at most.")
    database_timeout_seconds: float = Field(
        30.0,
        ge=0.1,
        le=3600,
        description="How long a statement of Postgres may take; migrations have no limit.",
    )
    redis_url: RedisUrl = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="Redis or Valkey for wake-ups; it may be lost at any time.",
    )
    redis_namespace: str = Field(
        "x07-registry",
        min_length=1,
        description="Prefix of every key and channel, so that registries can share one Redis.",
    )
    cors_origins: Origins = Field(
        (), description="Origins that browsers may call from, comma-separated; `*` for any."
    )
    github_client_id: OptionalText = Field(
        None, description="OAuth application id; with the secret, turns sign-in on."
    )
    github_client_secret: SecretStr | None = Field(None, description="OAuth application secret.")
    github_authorize_base: BaseUrl = Field("https://github.com", description="GitHub's web address.")
    github_api_base: BaseUrl = Field("https://api.github.com", description="GitHub's API address.")
    admin_github_user_ids: UserIds = Field(
        frozenset(), description="GitHub user ids whose sessions are administrators, comma-separated."
    )
    session_cookie_domain: OptionalText = Field(None, description="Domain attribute of the session cookie.")
    session_cookie_secure: Boolean = Field(True, description="Send the session cookie over HTTPS only.")
    session_ttl_seconds: int = Field(2_592_000, description="Life of a session; clamped to 1 to 31536000 s.")
    oauth_state_ttl_seconds: int = Field(
        600, description="Life of a sign-in attempt; clamped to 1 to 3600 s."
    )
    require_verified_email_for_publish: Boolean = Field(
        True, description="Refuse publishers without a verified GitHub e-mail."
    )
    trusted_proxies: Networks = Field(
        (),
        description="Addresses and networks of proxies whose `X-Forwarded-For` is believed, "
        "comma-separated; empty: the peer is the client.",
    )
    sign_in_attempts_per_minute: int = Field(
        600, ge=0, description="Sign-in requests of one address a minute; 0: no limit."
    )
    token_creation_attempts_per_minute: int = Field(
        600, ge=0, description="Token creations of one address, and of one credential, a minute; 0: no limit."
    )
    publish_attempts_per_minute: int = Field(
        12_000, ge=0, description="Publishes of one address, and of one token, a minute; 0: no limit."
    )
    publishes_at_once: int = Field(
        64,
        ge=1,
        le=1024,
        description="Publishes in progress in a write process, uploads included; further ones are answered "
        "503. One publisher gets half of them at most.",
    )
    publish_bytes_per_second: int = Field(
        16_777_216,
        ge=0,
        description="Bytes a second that a write process reads of one publisher's uploads, after as many as "
        "the largest archive has; a refused upload counts for 512 KiB more; 0: no limit.",
    )
    storage: Literal["fs", "filesystem", "s3"] = Field("fs", description="Where the published tree lives.")
    verified_namespaces: SortedList = Field(
        (), description="Name prefixes shown as verified, comma-separated."
    )
    data_dir: Path = Field(Path("data"), description="Root of the published tree when storage is `fs`.")
    s3_bucket: OptionalText = Field(None, description="Bucket; required when storage is `s3`.")
    s3_region: OptionalText = Field(None, description="Region; required when storage is `s3`.")
    s3_endpoint: OptionalText = Field(None, description="Endpoint URL; required when storage is `s3`.")
    s3_prefix: KeyPrefix = Field("", description="Prefix of every key.")
    s3_force_path_style: Boolean = Field(False, description="Bucket in the path, not in the host name.")
    s3_access_key_id: OptionalText = Field(
        None,
        validation_alias=AliasChoices(f"{PREFIX}S3_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID"),
        description="Access key; required when storage is `s3`.",
    )
    s3_secret_access_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices(f"{PREFIX}S3_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY"),
        description="Secret key; required when storage is `s3`.",
    )
    s3_timeout_seconds: float = Field(
        20.0,
        gt=0,
        le=300,
        description="How long a request to S3 may make no progress; it is tried three times.",
    )
    scale_evidence_allowed_hosts: LoweredList = Field(
        ("x07.io",), description="Hosts of https scale evidence, subdomains included; empty: none."
    )
    scale_evidence_allowed_s3_buckets: CommaList = Field(
        (), description="Buckets of s3 scale evidence; empty: any."
    )
    pkg_signing_ed25519_secret_b64: SecretStr | None = Field(
        None, description="Base64 of the 32-byte Ed25519 seed that signs new versions; empty: no signing."
    )
    pkg_signing_key_id: OptionalText = Field(
        None, description="Id of the signing key; required with the secret."
    )
    pkg_signing_kind: str = Field("ed25519", description="Kind of the signing key; read with the secret.")
    pkg_signing_extra_public_keys: CommaList = Field(
        (), description="Older keys that still verify, `ID=BASE64` each; published after the current one."
    )
    index_host: str = Field("index.x07.io", description="Host whose root serves the index too.")
    official_handle: str = Field("webodik", description="Owner whose packages are `is_official`.")
    max_archive_bytes: int = Field(
        67_108_864, ge=1024, le=1_073_741_824, description="Largest archive that can be published, bytes."
    )
    check_processes: int = Field(
        2, ge=1, le=64, description="Processes that check archives; a publisher has one of them at a time."
    )
    check_seconds: float = Field(
        10.0, ge=0.1, le=120, description="Processor time that the check of an archive may take, seconds."
    )
    lint_command: LintCommand = Field(
        None, description="Linter of the toolchain, with `{file}` and `{world}`: docs/lint.md."
    )
    lint_processes: int = Field(2, ge=1, le=64, description="Linters that run at once.")
    lint_seconds: float = Field(
        10.0, ge=0.1, le=600, description="Processor time of a linter for a module in a world, seconds."
    )
    lint_memory_bytes: int = Field(
        1_073_741_824, ge=16_777_216, description="Address space of a linter, bytes."
    )
    publish_wait_seconds: float = Field(
        5.0,
        ge=0,
        le=60,
        description="How long a publish waits to be visible before it answers; 0: not at all.",
    )
    sweep_seconds: float = Field(
        3.0,
        gt=0,
        le=300,
        description="How often a worker looks for changes that a lost wake-up left unpublished.",
    )
    catalog_debounce_seconds: float = Field(
        0.5, ge=0, le=300, description="How long a catalog rebuild waits for more changes to join it."
    )
    read_cache_bytes: int = Field(
        33_554_432, ge=0, le=17_179_869_184, description="Bodies that a read process keeps in memory, bytes."
    )
    read_ttl_seconds: float = Field(
        5.0,
        ge=0,
        le=3600,
        description="How long a cached blob is served without asking storage, when no message came.",
    )
    staging_keep_seconds: float = Field(
        86_400.0,
        ge=0,
        le=31_536_000,
        description="How long `gc` leaves staged bytes and unfinished uploads that nothing refers to.",
    )
    metrics_bind: OptionalBind = Field(
        None,
        description="Address for `/metrics`, `/healthz` and `/readyz` of this process, HOST:PORT; "
        "keep it from the public; empty: none.",
    )
    otlp_endpoint: OptionalUrl = Field(
        None,
        validation_alias=AliasChoices(f"{PREFIX}OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        description="OTLP/HTTP receiver of traces, without `/v1/traces`; empty: no traces.",
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="Log lines as JSON or for a terminal; auto: by where stderr goes."
    )
    access_log: Boolean = Field(False, description="Log a line for each answered request.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level logged.")
    test_stop_at: StopAt = Field(
        None,
        description="For fault tests only: the process kills itself (SIGKILL) there. A point of a publish "
        "(`after_stage`, `after_commit`, …), or `change:N`: after its N-th change of storage.",
    )

    @field_validator(
        "github_client_secret", "s3_secret_access_key", "pkg_signing_ed25519_secret_b64", mode="before"
    )
    @classmethod
    def _an_empty_secret_is_no_secret(cls, value: object) -> object:
        return (value.strip() or None) if isinstance(value, str) else value

    @field_validator("session_ttl_seconds", "oauth_state_ttl_seconds", mode="before")
    @classmethod
    def _blank_is_the_default(cls, value: object, info: ValidationInfo) -> object:
        """As with the older server, whose deployments may set these to nothing."""
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
    def _combinations(self) -> Self:
        if self.storage == "s3":
            self._require("s3_bucket", "s3_region", "s3_endpoint", "s3_access_key_id", "s3_secret_access_key")
        if self.pkg_signing_ed25519_secret_b64 is not None:
            self._require("pkg_signing_key_id")
            if self.pkg_signing_kind.strip() != "ed25519":
                raise SettingsError(f"{PREFIX}PKG_SIGNING_KIND is not supported; allowed: ed25519")
        if (self.github_client_id is None) != (self.github_client_secret is None):
            raise SettingsError(
                f"{PREFIX}GITHUB_CLIENT_ID and {PREFIX}GITHUB_CLIENT_SECRET go together; one is not set"
            )
        self._check_keys()
        return self

    def _require(self, *names: str) -> None:
        for name in names:
            if getattr(self, name) is None:
                raise SettingsError(f"{PREFIX}{name.upper()} is not set; it is required here")

    def _check_keys(self) -> None:
        try:
            self.signer()
        except ValueError as error:
            raise SettingsError(f"{PREFIX}PKG_SIGNING_ED25519_SECRET_B64 is not allowed: {error}") from None
        try:
            self.verifying_keys()
        except ValueError as error:
            raise SettingsError(f"{PREFIX}PKG_SIGNING_EXTRA_PUBLIC_KEYS is not allowed: {error}") from None

    def signer(self) -> Signer | None:
        """Signs new versions; None when signing is off."""
        if self.pkg_signing_ed25519_secret_b64 is None or self.pkg_signing_key_id is None:
            return None
        key = SigningKey.parse(
            self.pkg_signing_key_id, self.pkg_signing_ed25519_secret_b64.get_secret_value()
        )
        return Signer(key.key_id, key.seed)

    def verifying_keys(self) -> tuple[tuple[str, bytes], ...]:
        """Id and 32 raw bytes of each older public key that still verifies."""
        return tuple(parse_public_key(entry) for entry in self.pkg_signing_extra_public_keys)

    @property
    def stores_files(self) -> bool:
        """True when the published tree is a directory, false when it is a bucket."""
        return self.storage != "s3"

    @property
    def spool_dir(self) -> Path:
        """Where uploads are collected; on the tree's own file system if it is a directory."""
        return self.data_dir / "tmp" if self.stores_files else Path(tempfile.gettempdir())


def variable_of(field_name: str) -> str:
    """The environment variable that sets a field (the first, where there are two)."""
    return f"{PREFIX}{field_name.upper()}"


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment; overrides (by field name) win. Raises SettingsError."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise SettingsError("\n".join(_refusal(dict(item)) for item in error.errors())) from None


def _refusal(item: dict[str, Any]) -> str:
    """One line for one wrong variable; the value is shown unless it may be a secret."""
    name = _field_name(str(item["loc"][0])) if item["loc"] else ""
    annotation = Settings.model_fields[name].annotation if name else None
    given = "set" if annotation is not None and "Secret" in str(annotation) else f'"{item.get("input")}"'
    allowed = str(item["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    if item["type"] == "literal_error":
        allowed = allowed.replace(" or ", ", ").replace("'", "")
    return f"{variable_of(name)} is {given}; allowed: {allowed}" if name else allowed


def _field_name(location: str) -> str:
    """The field behind a location of pydantic, which may be an alias."""
    lowered = location.lower()
    if lowered in Settings.model_fields:
        return lowered
    for name, field in Settings.model_fields.items():
        if isinstance(field.validation_alias, AliasChoices) and location in field.validation_alias.choices:
            return name
    return lowered.removeprefix(PREFIX.lower())
