"""The message of an event, signed as Standard Webhooks say (standardwebhooks.com, specification 1.0)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

import msgspec

from indexer.queries.webhooks import Due
from shared.timestamps import render_timestamp
from shared.version import VERSION
from shared.webhooks import SECRET_PREFIX

USER_AGENT: Final = f"x07-registry/{VERSION}"


def body_of(due: Due) -> bytes:
    """The JSON body: type, timestamp of the change, data. It is the same with every attempt."""
    timestamp = render_timestamp(due.created_at)
    return msgspec.json.encode({"type": due.type, "timestamp": timestamp, "data": due.data})


def headers_of(due: Due, body: bytes, now_s: int) -> dict[str, str]:
    """The headers of an attempt at this time (seconds since 1970)."""
    message_id = f"msg_{due.message_id.hex}"
    content = f"{message_id}.{now_s}.".encode() + body
    return {
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "webhook-id": message_id,
        "webhook-timestamp": str(now_s),
        "webhook-signature": signatures(due.secrets, content),
    }


def signatures(secrets: Sequence[str], content: bytes) -> str:
    """A signature for each secret, so that a receiver may know either of two."""
    keys = [base64.b64decode(secret.removeprefix(SECRET_PREFIX)) for secret in secrets]
    macs = [hmac.digest(key, content, hashlib.sha256) for key in keys]
    return " ".join(f"v1,{base64.b64encode(mac).decode()}" for mac in macs)
