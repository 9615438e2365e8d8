"""Webhooks: where they may lead, and how many requests about them are accepted."""

from __future__ import annotations

from pydantic import BaseModel, Field

from shared.setting_types import Boolean


class WebhookSettings(BaseModel):
    """Webhooks."""

    webhooks_allow_http: Boolean = Field(
        False, description="Accept webhooks at http:// addresses. What they are told can be read on the way."
    )
    webhooks_allow_private: Boolean = Field(
        False,
        description="Let webhooks lead to loopback, private and link-local addresses. Then whoever may add a "
        "webhook can have workers send requests into your network.",
    )
    webhook_attempts_per_minute: int = Field(
        60,
        ge=0,
        description="Webhooks created, changed and tested per minute from one address or one credential; "
        "0: no limit.",
    )
