"""The pooled S3 client of a process: its timeouts, attempts and headers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import NoCredentialsError
from botocore.handlers import add_expect_header
from botocore.loaders import Loader
from botocore.utils import parse_timestamp as any_timestamp
from pydantic import SecretStr

from shared.settings import Settings

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

CONNECTIONS: Final = 64
ATTEMPTS: Final = 3
USER_AGENT: Final = "x07-registry"
# botocore's descriptions of services. Reading and parsing them takes 0.15 s, so all clients share them.
_DESCRIPTIONS: Final = Loader()


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for the server, in seconds. attempts: 1 or more.

    connect_s, read_s: limits for each attempt without progress. total_s: limit for a whole operation, except
    for streaming a body; it includes waiting for a free connection and for a server that accepts a request
    but does not read it.
    """

    connect_s: float = 3.0
    read_s: float = 20.0
    attempts: int = ATTEMPTS
    total_s: float = 120.0


def patience_of(settings: Settings) -> Patience:
    """The patience for the configured timeout. total_s: twice what all attempts at a silent server take."""
    read_s = settings.s3_timeout_seconds
    return Patience(read_s=read_s, attempts=ATTEMPTS, total_s=2 * ATTEMPTS * read_s)


def parse_timestamp(text: str) -> datetime:
    """The time in a header (RFC 9110, 5.6.7) or a listing (ISO 8601).

    Faster than botocore, which tries more forms.

    Raises ValueError.

    """
    if text.endswith("GMT"):
        return parsedate_to_datetime(text)
    return datetime.fromisoformat(text) if text.endswith("Z") else any_timestamp(text)


@asynccontextmanager
async def new_client(settings: Settings, patience: Patience) -> AsyncIterator[S3Client]:
    """A client, closed at the end of its context. Without a key aiobotocore looks for credentials itself.

    Raises NoCredentialsError if it finds none, because the client would not look again.
    """
    session = get_session()
    if settings.s3_access_key_id is None and await session.get_credentials() is None:
        raise NoCredentialsError
    session.register_component("data_loader", _DESCRIPTIONS)
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=parse_timestamp)
    async with session.create_client(
        "s3",
        region_name=settings.s3_region,
        endpoint_url=settings.s3_endpoint,
        aws_access_key_id=settings.s3_access_key_id,
        aws_secret_access_key=_text(settings.s3_secret_access_key),
        aws_session_token=_text(settings.s3_session_token),
        config=_config(settings, patience),
    ) as client:
        # `Expect: 100-continue` costs each put a round trip, which the HTTP client does not limit in time.
        client.meta.events.unregister("before-call.s3", add_expect_header)
        yield client


def _text(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _config(settings: Settings, patience: Patience) -> AioConfig:
    return AioConfig(
        connect_timeout=patience.connect_s,
        read_timeout=patience.read_s,
        retries={"mode": "standard", "total_max_attempts": patience.attempts},
        max_pool_connections=CONNECTIONS,
        s3={
            "addressing_style": "path" if settings.s3_force_path_style else "auto",
            # Signing the payload would read every body twice; bodies are sent with a checksum instead.
            "payload_signing_enabled": False,
        },
        # Validation takes 5% of a request's time, and the type checker checks the parameters.
        parameter_validation=False,
        # Otherwise botocore builds its User-Agent for each request.
        user_agent=USER_AGENT,
        # Servers other than AWS do not know the checksum trailers that newer clients send.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
