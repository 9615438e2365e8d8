"""Builds requests from the declared routes, so that tests cover new routes automatically."""

from __future__ import annotations

import re
from typing import Any, Final
from uuid import uuid4

from api.write.endpoint import Endpoint

VALUES: Final = {
    "name": "hello",
    "version": "0.1.0",
    "handle": "bob",
    "token_id": str(uuid4()),
    "id": str(uuid4()),
}
GOOD_BODIES: Final[dict[str, dict[str, Any]]] = {
    "CreateTokenRequest": {"label": "ci", "scopes": ["publish"]},
    "AddTrustedPublisherRequest": {
        "kind": "github",
        "owner": "octo",
        "repository": "hello",
        "workflow": "release.yml",
    },
    "ChangePackageRequest": {"trusted_publishing_only": False},
    "ExchangeRequest": {"jwt": "no.token.atall"},
    "AddOwnerRequest": {"handle": "bob"},
    "YankRequest": {"yanked": True},
    "CreateAdvisoryRequest": {"kind": "broken", "severity": "high", "summary": "x"},
    "AddWebhookRequest": {"url": "https://hooks.example/x07", "events": ["version.published"]},
    "ChangeWebhookRequest": {"active": True},
    "ScaleEvidenceRequest": {"evidence_ref": "https://x07.io/e.json"},
}


def path_of(endpoint: Endpoint, **values: str) -> str:
    """The endpoint's path with values for its parameters."""
    return re.sub(r"{(\w+)}", lambda match: {**VALUES, **values}[match[1]], endpoint.path)


def body_of(endpoint: Endpoint) -> dict[str, Any]:
    """Arguments for httpx with a valid body, if the endpoint reads one. KeyError for an unknown model."""
    return {} if endpoint.request is None else {"json": GOOD_BODIES[endpoint.request.__name__]}
