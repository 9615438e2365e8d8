"""Runs commands of `x07-registry` with the settings of a test."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pydantic import SecretStr

from shared.settings import Settings
from tests.deploy.forked_commands import run


def document(*arguments: str, prepare: Callable[[], None] | None = None, **variables: str) -> tuple[int, Any]:
    """Exit status and JSON output of a command. prepare: called in its process."""
    answer = run(*arguments, "--json", prepare=prepare, **variables)
    return answer.returncode, json.loads(answer.stdout)


def variables_of(settings: Settings) -> dict[str, str]:
    """The environment that gives a command these settings."""
    given = settings.model_dump(include=settings.model_fields_set)
    values = {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in given.items()
    }
    return {
        f"X07_REGISTRY_{name.upper()}": ",".join(value) if isinstance(value, tuple) else str(value)
        for name, value in values.items()
    }
