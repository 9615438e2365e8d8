"""Environment variables that belong to no setting, most of them misspelt."""

from __future__ import annotations

import pytest

from shared.settings import load_settings
from shared.variables import unknown_variables

KNOWN = ("X07_REGISTRY_PUBLIC_BASE", "X07_REGISTRY_DATABASE_URL", "DATABASE_URL", "X07_REGISTRY_WEB_BASE")


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("X07_REGISTRY_PUBLIC_BAES", "X07_REGISTRY_PUBLIC_BASE"),
        ("X07_REGISTRY_PUBLICBASE", "X07_REGISTRY_PUBLIC_BASE"),
        ("x07_registry_public_bas", "X07_REGISTRY_PUBLIC_BASE"),
        ("X07_REGISTRY_DB_URL", "X07_REGISTRY_DATABASE_URL"),
        ("X07_REGISTRY_COLOUR", None),
        ("X07_REGISTRY_", None),
    ],
)
def test_an_unknown_variable_is_told_with_a_name_that_is_near(variable: str, nearest: str | None) -> None:
    """A name that is not similar would mislead."""
    assert unknown_variables({variable: "x", "PATH": "/bin"}, KNOWN) == {variable: nearest}


@pytest.mark.parametrize(
    "variable",
    [
        "X07_REGISTRY_PUBLIC_BASE",
        "x07_registry_public_base",
        "DATABASE_URL",
        "PATH",
        "X07_OTHER",
        # Kubernetes sets these in each pod for the service x07-registry-read (and Docker for a link).
        "X07_REGISTRY_READ_SERVICE_HOST",
        "X07_REGISTRY_READ_SERVICE_PORT",
        "X07_REGISTRY_READ_SERVICE_PORT_HTTP",
        "X07_REGISTRY_READ_PORT",
        "X07_REGISTRY_READ_PORT_8080_TCP",
        "X07_REGISTRY_READ_PORT_8080_TCP_ADDR",
        "X07_REGISTRY_PORT_8080_TCP_PROTO",
    ],
)
def test_what_is_known_or_not_for_us_is_not_told(variable: str) -> None:
    """Nobody should get warnings about variables that nobody typed."""
    assert unknown_variables({variable: "x"}, KNOWN) == {}


def test_settings_tell_which_variables_they_do_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is that of the settings; aliases are known."""
    monkeypatch.setenv("X07_REGISTRY_S3_ACCESS_KEY", "x")
    monkeypatch.setenv("X07_REGISTRY_S3_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    settings = load_settings()
    assert settings.unknown_variables == {"X07_REGISTRY_S3_ACCESS_KEY": "X07_REGISTRY_S3_ACCESS_KEY_ID"}
    assert settings.model_copy(update={"bind": "127.0.0.1:0"}).unknown_variables == settings.unknown_variables
