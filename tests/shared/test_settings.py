"""Settings: the text of each variable, its default, and the refusal of a wrong value."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest

from shared.settings import Settings, load_settings
from shared.variables import SettingsError
from shared.verifier_keys import COSIGNATURE, ED25519, key_id_of

SEED = b64encode(bytes(32)).decode()
S3 = {
    "X07_REGISTRY_STORAGE": "s3",
    "X07_REGISTRY_S3_BUCKET": "b",
    "X07_REGISTRY_S3_REGION": "r",
    "X07_REGISTRY_S3_ENDPOINT": " http://127.0.0.1:1 ",
    "X07_REGISTRY_S3_ACCESS_KEY_ID": "id",
    "X07_REGISTRY_S3_SECRET_ACCESS_KEY": "secret",
}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove this machine's variables."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"X07_REGISTRY_{name.upper()}", raising=False)
    for name in ("DATABASE_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)


def load(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    """Settings from exactly this environment."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return load_settings()


def test_nothing_set_gives_the_contracts_defaults() -> None:
    """The defaults of section 7."""
    settings = load_settings()
    assert settings.bind == "127.0.0.1:8080"
    assert settings.public_base == "http://127.0.0.1:8080"
    assert settings.web_base == "https://x07.io"
    assert settings.database_url.get_secret_value() == "postgres://x07:x07@127.0.0.1:5432/x07_registry"
    assert settings.database_schema == "public"
    assert (settings.storage, settings.data_dir) == ("fs", Path("data"))
    assert settings.session_cookie_secure
    assert settings.require_verified_email_for_publish
    assert not settings.s3_force_path_style
    assert (settings.session_ttl_seconds, settings.oauth_state_ttl_seconds) == (2_592_000, 600)
    assert settings.scale_evidence_allowed_hosts == ("x07.io",)
    assert settings.signer() is None


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("PUBLIC_BASE", "https://r.example//", "https://r.example"),
        ("CORS_ORIGINS", " https://a , ,https://b,", ("https://a", "https://b")),
        ("VERIFIED_NAMESPACES", "x07,ext, ,x07", ("ext", "x07")),
        ("NAMESPACE_OWNERS", "x07:alice+Bob , ext:c", {"x07": {"alice", "bob"}, "ext": {"c"}}),
        ("NAMESPACE_OWNERS", " ", {}),
        ("PRIVATE_NAMESPACES", "acme-* , x:alice+Bob", {"acme-*": set(), "x": {"alice", "bob"}}),
        ("ADMIN_GITHUB_USER_IDS", " 1, ,-5", frozenset({1, -5})),
        ("SESSION_COOKIE_SECURE", " OFF ", False),
        ("SESSION_COOKIE_DOMAIN", "  ", None),
        ("S3_PREFIX", " /a/b// ", "a/b/"),
        ("SESSION_TTL_SECONDS", "0", 1),
        ("SESSION_TTL_SECONDS", " ", 2_592_000),
        ("OAUTH_STATE_TTL_SECONDS", "", 600),
        ("OAUTH_STATE_TTL_SECONDS", " 99999 ", 3600),
        ("SCALE_EVIDENCE_ALLOWED_HOSTS", "A.example,", ("a.example",)),
        ("SCALE_EVIDENCE_ALLOWED_HOSTS", "", ()),
        ("DATABASE_SCHEMA", "_x07", "_x07"),
    ],
)
def test_a_variable_is_read_as_the_contract_says(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, value: object
) -> None:
    """Trimming, lists, clamps and booleans."""
    settings = load(monkeypatch, **{f"X07_REGISTRY_{variable}": text})
    assert getattr(settings, variable.lower()) == value


@pytest.mark.parametrize(
    ("variable", "text", "allowed"),
    [
        ("STORAGE", "ftp", "fs, filesystem, s3"),
        ("STORAGE", "", "fs, filesystem, s3"),
        ("DATABASE_SCHEMA", "Public", "[a-z_][a-z0-9_]*"),
        ("SESSION_COOKIE_SECURE", "yep", "1, true, yes, on, 0, false, no, off"),
        ("NAMESPACE_OWNERS", "x07", "NAMESPACE:HANDLE+HANDLE"),
        ("NAMESPACE_OWNERS", "x07:", "NAMESPACE:HANDLE+HANDLE"),
        ("NAMESPACE_OWNERS", "x07:alice+", "NAMESPACE:HANDLE+HANDLE"),
        ("NAMESPACE_OWNERS", "X07:alice", "NAMESPACE:HANDLE+HANDLE"),
        ("NAMESPACE_OWNERS", "x07:alice,x07:bob", "each namespace once"),
        ("PRIVATE_NAMESPACES", "*", "PATTERN:HANDLE+HANDLE"),
        ("PRIVATE_NAMESPACES", "acme-*:", "PATTERN:HANDLE+HANDLE"),
        ("PRIVATE_NAMESPACES", "acme-*,acme-*:bob", "each pattern once"),
        ("ADMIN_GITHUB_USER_IDS", "1,octo", "64-bit integers"),
        ("ADMIN_GITHUB_USER_IDS", str(2**63), "64-bit integers"),
        ("CORS_ORIGINS", "https://a b", "visible ASCII"),
        ("CORS_ORIGINS", "https://a\x01b", "visible ASCII"),
        ("PUBLIC_BASE", "registry", "http://"),
        ("S3_ENDPOINT", "minio:9000", "http://"),
        ("BIND", "8080", "HOST:PORT"),
        ("SESSION_TTL_SECONDS", "a month", "a valid integer"),
        ("PUBLISH_WAIT_SECONDS", "-1", "greater than or equal to 0"),
    ],
)
def test_a_wrong_value_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, allowed: str
) -> None:
    """The message has the variable, its value and the allowed values."""
    with pytest.raises(SettingsError) as refusal:
        load(monkeypatch, **{f"X07_REGISTRY_{variable}": text})
    message = str(refusal.value)
    assert message.startswith(f'X07_REGISTRY_{variable} is "{text}"; allowed: ')
    assert allowed in message
    assert "unable" not in message


def test_a_misspelt_variable_is_told_when_the_settings_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The misspelling may be the reason why the setting is missing."""
    for refused in ({"X07_REGISTRY_STORAGE": "s3"}, {"X07_REGISTRY_STORAGE": "ftp"}):
        with pytest.raises(SettingsError) as refusal:
            load(monkeypatch, **refused, X07_REGISTRY_S3_BUKET="packages")
        told = "X07_REGISTRY_S3_BUKET is no setting, did you mean X07_REGISTRY_S3_BUCKET?"
        assert str(refusal.value).splitlines()[-1] == told


@pytest.mark.parametrize("missing", [name for name in S3 if name != "X07_REGISTRY_STORAGE"])
def test_s3_without_one_of_its_settings_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """Bucket, region and endpoint are required, and so is a key's other half."""
    with pytest.raises(SettingsError, match=missing):
        load(monkeypatch, **{name: value for name, value in S3.items() if name != missing})


def test_the_registrys_own_variable_wins_over_the_common_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """DATABASE_URL is used only if ours is not set."""
    settings = load(monkeypatch, DATABASE_URL="postgres://common")
    assert settings.database_url.get_secret_value() == "postgres://common"
    settings = load(monkeypatch, **S3, X07_REGISTRY_DATABASE_URL="postgres://ours")
    assert settings.database_url.get_secret_value() == "postgres://ours"
    assert settings.s3_access_key_id == "id"
    assert settings.s3_secret_access_key is not None
    assert settings.s3_secret_access_key.get_secret_value() == "secret"


def test_s3_without_a_key_is_for_the_chain_of_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Roles and web identities have no key that could be set."""
    keyless = {name: value for name, value in S3.items() if "KEY" not in name}
    assert load(monkeypatch, **keyless).s3_access_key_id is None


def test_valkey_is_as_good_a_scheme_as_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without TLS."""
    for ours, theirs in (("valkey://h:1/0", "redis://h:1/0"), ("valkeys://h:1/0", "rediss://h:1/0")):
        url = load(monkeypatch, X07_REGISTRY_REDIS_URL=ours).redis_url
        assert url.get_secret_value() == theirs


@pytest.mark.parametrize("secret", ["not base64", b64encode(bytes(31)).decode(), SEED.rstrip("=")])
def test_a_wrong_signing_secret_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    """A secret must not reach a log through an error message."""
    with pytest.raises(SettingsError, match="X07_REGISTRY_PKG_SIGNING_ED25519_SECRET_B64") as refusal:
        load(
            monkeypatch,
            X07_REGISTRY_PKG_SIGNING_ED25519_SECRET_B64=secret,
            X07_REGISTRY_PKG_SIGNING_KEY_ID="k",
        )
    assert secret not in str(refusal.value)


@pytest.mark.parametrize("url", ["", "localhost:5432", "mysql://secret@db/x07"])
@pytest.mark.parametrize("variable", ["X07_REGISTRY_DATABASE_URL", "DATABASE_URL", "X07_REGISTRY_REDIS_URL"])
def test_a_wrong_address_of_a_server_stops_the_start_and_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, variable: str, url: str
) -> None:
    """An empty one would lead to the server of the driver's defaults."""
    with pytest.raises(SettingsError, match="is set; allowed: a URL that begins with") as refusal:
        load(monkeypatch, **{variable: url})
    assert "secret" not in str(refusal.value)


def test_signing_needs_a_key_id_and_a_known_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """An incomplete configuration stops the start."""
    with pytest.raises(SettingsError, match="X07_REGISTRY_PKG_SIGNING_KEY_ID is not set"):
        load(monkeypatch, X07_REGISTRY_PKG_SIGNING_ED25519_SECRET_B64=f" {SEED} ")
    with pytest.raises(SettingsError, match="PKG_SIGNING_KIND"):
        load(monkeypatch, X07_REGISTRY_PKG_SIGNING_KEY_ID="k", X07_REGISTRY_PKG_SIGNING_KIND="rsa")
    monkeypatch.setenv("X07_REGISTRY_PKG_SIGNING_KIND", "ed25519")
    signer = load_settings().signer()
    assert signer is not None
    assert signer.key_id == "k"


def test_half_of_github_sign_in_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The older server silently had no sign-in."""
    with pytest.raises(SettingsError, match="go together"):
        load(monkeypatch, X07_REGISTRY_GITHUB_CLIENT_ID="id")
    assert load(monkeypatch, X07_REGISTRY_GITHUB_CLIENT_SECRET="s").github_client_id == "id"


def test_secrets_do_not_show_when_settings_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The repr() of settings may be logged."""
    shown = repr(load(monkeypatch, **S3, X07_REGISTRY_DATABASE_URL="postgres://u:hidden@h/d"))
    assert "hidden" not in shown
    assert "'secret'" not in shown


def witness_key(name: str = "witness.example/w1", kind: int = COSIGNATURE) -> str:
    """A witness's verifier key."""
    encoded = b64encode(bytes([kind]) + bytes(32)).decode()
    return f"{name}+{key_id_of(name, kind, bytes(32)).hex()}+{encoded}"


def test_witnesses_are_a_list_of_keys_and_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key contains slashes, plus and equals signs; white space separates it from the URL."""
    text = f" {witness_key()}  https://w.example/w1/ , {witness_key('other')} http://127.0.0.1:1"
    first, second = load(monkeypatch, X07_REGISTRY_LOG_WITNESSES=text).witnesses()
    assert (first.name, first.url) == ("witness.example/w1", "https://w.example/w1")
    assert (second.name, second.url) == ("other", "http://127.0.0.1:1")


@pytest.mark.parametrize(
    "text",
    [
        witness_key(),
        f"{witness_key()} ftp://w.example",
        f"{witness_key()} w.example",
        f"{witness_key(kind=ED25519)} https://w.example",
        f"{witness_key().replace('+', '+0', 1)} https://w.example",
        "https://w.example",
        f"{witness_key()} https://a.example,{witness_key()} https://b.example",
    ],
)
def test_a_witness_that_is_none_stops_the_start(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """The message has the variable's name."""
    with pytest.raises(SettingsError, match="X07_REGISTRY_LOG_WITNESSES"):
        load(monkeypatch, X07_REGISTRY_LOG_WITNESSES=text)
