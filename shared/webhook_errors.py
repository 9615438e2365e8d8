"""Errors of webhooks."""

from __future__ import annotations

from shared.errors import RegistryError


class WebhookUrlInvalid(RegistryError):
    """A webhook must not have this URL: it is not https, or its address is not a public one."""

    status = 400
    code = "X07REG_WEBHOOK_URL_INVALID"
    default_message = "invalid URL of a webhook"


class TooManyWebhooks(RegistryError):
    """The user has as many webhooks as a user may have."""

    status = 409
    code = "X07REG_TOO_MANY_WEBHOOKS"
    default_message = "too many webhooks"
