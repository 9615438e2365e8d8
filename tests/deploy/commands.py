"""What commands of `x07-registry` answer with the settings of a test."""

from __future__ import annotations

import json
from typing import Any

from shared.settings import Settings
from tests.deploy.forked_commands import run


def document(*arguments: str, **variables: str) -> tuple[int, Any]:
    """Exit status and JSON of a command."""
    answer = run(*arguments, "--json", **variables)
    return answer.returncode, json.loads(answer.stdout)


def variables_of(settings: Settings) -> dict[str, str]:
    """The environment that gives a command these settings."""
    given = settings.model_dump(include=settings.model_fields_set)
    secret = {"database_url", "redis_url", "s3_secret_access_key", "pkg_signing_ed25519_secret_b64"}
    values = {
        name: getattr(settings, name).get_secret_value() if name in secret else value
        for name, value in given.items()
    }
    return {
        f"X07_REGISTRY_{name.upper()}": ",".join(value) if isinstance(value, tuple) else str(value)
        for name, value in values.items()
    }
