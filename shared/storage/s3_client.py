"""The pooled S3 client of a process: how long it waits, how often it tries, what it sends along."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.handlers import add_expect_header
from botocore.utils import parse_timestamp as any_timestamp

from shared.errors import StorageFailed
from shared.settings import Settings

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

CONNECTIONS: Final = 64
ATTEMPTS: Final = 3
USER_AGENT: Final = "x07-registry"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for the server, in seconds; attempts: 1 or more.

    connect_s, read_s: without progress, for each attempt. total_s: for a whole operation but the
    streaming of a body. Needed besides: nothing else ends the wait for a connection of the pool, or
    for a server that takes a request and does not read it.
    """

    connect_s: float = 3.0
    read_s: float = 20.0
    attempts: int = ATTEMPTS
    total_s: float = 120.0


def patience_of(settings: Settings) -> Patience:
    """The patience that an operator wants: twice as long as all attempts of a silent request take."""
    read_s = settings.s3_timeout_seconds
    return Patience(read_s=read_s, attempts=ATTEMPTS, total_s=2 * ATTEMPTS * read_s)


def parse_timestamp(text: str) -> datetime:
    """The time in a header (RFC 9110, 5.6.7) or a listing (ISO 8601); botocore tries every form in turn.

    Raises ValueError.
    """
    if text.endswith("GMT"):
        return parsedate_to_datetime(text)
    return datetime.fromisoformat(text) if text.endswith("Z") else any_timestamp(text)


@asynccontextmanager
async def new_client(settings: Settings, patience: Patience) -> AsyncIterator[S3Client]:
    """A client, closed at the end of its context. Raises StorageFailed without a secret key."""
    if settings.s3_secret_access_key is None:
        raise StorageFailed("S3 storage has no secret access key")
    session = get_session()
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=parse_timestamp)
    async with session.create_client(
        "s3",
        region_name=settings.s3_region,
        endpoint_url=settings.s3_endpoint,
        aws_access_key_id=settings.s3_access_key_id,
        aws_secret_access_key=settings.s3_secret_access_key.get_secret_value(),
        config=_config(settings, patience),
    ) as client:
        # A round trip for each put, and one that the HTTP client waits for without a time limit.
        client.meta.events.unregister("before-call.s3", add_expect_header)
        yield client


def _config(settings: Settings, patience: Patience) -> AioConfig:
    return AioConfig(
        connect_timeout=patience.connect_s,
        read_timeout=patience.read_s,
        retries={"mode": "standard", "total_max_attempts": patience.attempts},
        max_pool_connections=CONNECTIONS,
        s3={
            "addressing_style": "path" if settings.s3_force_path_style else "auto",
            # Else every body is read twice, first to sign it; it is sent with its checksum anyway.
            "payload_signing_enabled": False,
        },
        # A twentieth of a request; the type checker knows the parameters, and keys and settings are checked.
        parameter_validation=False,
        # Else what it says of botocore, Python and the system is put together anew for each request.
        user_agent=USER_AGENT,
        # Other servers than AWS do not know the checksum trailers that newer clients send.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
