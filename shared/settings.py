"""All settings, declared in shared/setting_groups/<topic>.py: variable, type, default and meaning.

docs/settings.md is generated from them, and a test
compares the two. deploy/ builds the settings and passes them down; no other module reads the environment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Self

from pydantic import PrivateAttr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.setting_groups.accounts import AccountSettings
from shared.setting_groups.addresses import AddressSettings
from shared.setting_groups.diagnostics import DiagnosticSettings
from shared.setting_groups.edge import EdgeSettings
from shared.setting_groups.pages import PageSettings
from shared.setting_groups.publishing import PublishSettings
from shared.setting_groups.reading import ReadSettings
from shared.setting_groups.services import ServiceSettings
from shared.setting_groups.signing import SigningSettings
from shared.setting_groups.storage import StorageSettings
from shared.setting_groups.webhooks import WebhookSettings
from shared.setting_groups.worker import WorkerSettings
from shared.signing import LogKey
from shared.variables import (
    PREFIX,
    SettingsError,
    known_variables,
    refusal,
    set_by,
    told_of,
    unknown_variables,
)


# Pydantic collects fields from the last base to the first, so docs/settings.md has these from the bottom up.
class Settings(
    DiagnosticSettings,
    EdgeSettings,
    WebhookSettings,
    WorkerSettings,
    PageSettings,
    ReadSettings,
    SigningSettings,
    PublishSettings,
    AccountSettings,
    StorageSettings,
    ServiceSettings,
    AddressSettings,
    BaseSettings,
):
    """All settings. Field `storage` is the variable `X07_REGISTRY_STORAGE`, and so on."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, case_sensitive=False, populate_by_name=True, frozen=True, extra="ignore"
    )

    _unknown_variables: Mapping[str, str | None] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _the_log_key_signs(self) -> Self:
        with set_by(f"{PREFIX}LOG_KEY_B64 or {PREFIX}LOG_ORIGIN"):
            self.log_key()
        return self

    @model_validator(mode="after")
    def _namespaces_are_private_in_a_public_registry(self) -> Self:
        if self.private_namespaces and self.reads_need_token:
            raise ValueError(f"{PREFIX}PRIVATE_NAMESPACES is for a public registry; this one is private")
        return self

    def log_key(self) -> LogKey | None:
        """Signs the transparency log; None when there is no log."""
        if self.log_key_b64 is None:
            return None
        origin = self.log_origin or self.public_base.partition("://")[2]
        return LogKey.parse(origin, self.log_key_b64.get_secret_value())

    @property
    def unknown_variables(self) -> Mapping[str, str | None]:
        """Unknown variables of the environment that look like settings, each with the nearest known name."""
        return self._unknown_variables


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment; overrides (by field name) win. Raises SettingsError."""
    fields = Settings.model_fields
    unknown = unknown_variables(os.environ, known_variables(fields))
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        refusals = [refusal(dict(item), fields) for item in error.errors()]
        raise SettingsError("\n".join([*refusals, *told_of(unknown)])) from None
    except SettingsError as error:
        raise SettingsError("\n".join([str(error), *told_of(unknown)])) from None
    settings._unknown_variables = unknown
    return settings
