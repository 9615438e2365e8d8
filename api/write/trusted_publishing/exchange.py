"""Exchanges the identity of a build for a token that publishes one package for 15 minutes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from msgspec.structs import asdict
from sqlalchemy.ext.asyncio import AsyncConnection

from api.write.credentials import secret_hash
from api.write.endpoint import Scope
from api.write.identity_tokens import LEEWAY, refused
from api.write.principal import Principal
from api.write.private_readers import is_reader
from api.write.queries import audit, tokens
from api.write.queries import trusted_publishers as rows
from api.write.queries.trusted_publishers import Publisher
from api.write.services import Services
from api.write.trusted_publishing.builds import Build, build_of
from shared.credential_errors import TokenGenerationFailed
from shared.errors import Forbidden, UnprocessableBody
from shared.private_names import is_private
from shared.text import rust_quote

LIFETIME: Final = timedelta(minutes=15)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class TrustedToken:
    """A token that publishes a package until it ends."""

    secret: str = field(repr=False)
    package: str
    expires_at: datetime


async def exchange(services: Services, identity_token: str, package: str | None, secret: str) -> TrustedToken:
    """A token for the build. package: which one, where several trust the build. secret: of new_token().

    Raises IdentityInvalid, Unavailable without the issuer's keys, Forbidden for a build that no package
    trusts, UnprocessableBody where several do.
    """
    identity = await services.identity_tokens.verify(identity_token)
    build = build_of(identity)
    async with services.database.transaction() as tx:
        known = await rows.of_repository(tx, identity.issuer, build.provenance.repository)
        publisher = _chosen(build, [each for each in known if _is_seen(services, each)], package)
        if not await rows.use_identity(tx, identity.issuer, identity.jti, identity.expires_at + LEEWAY):
            raise refused("it was used already; ask the issuer for another one")
        if not await rows.remember_owner(tx, publisher.id, build.owner_id):
            raise _other_owner(build)
        made = await _add_token(tx, build, publisher, secret)
    await services.notifier.queue_access()
    log.info("trusted_publishing_token", package=publisher.name, **asdict(build.provenance))
    return made


async def end_token(services: Services, caller: Principal) -> None:
    """Revoke a build's token, at the build's own request. Raises Forbidden for any other token."""
    if caller.provenance is None or caller.token_id is None:
        raise Forbidden("this is no token of trusted publishing")
    async with services.database.transaction() as tx:
        await tokens.revoke(tx, caller.token_id)
    await services.notifier.queue_access()


def _is_seen(services: Services, publisher: Publisher) -> bool:
    """True if the user who added it sees the package. One that became private meanwhile is not told of."""
    name, namespaces = publisher.name, services.settings.private_namespaces
    is_public = not is_private(name, namespaces)
    return is_public or publisher.is_owner or is_reader(publisher.added_by, name, namespaces)


def _chosen(build: Build, known: Sequence[Publisher], package: str | None) -> Publisher:
    """The publisher that trusts the build. known: those of its repository whose packages may be told of."""
    fitting = [
        each
        for each in known
        if each.workflow == build.provenance.workflow
        and build.is_in_environment(each.environment)
        and package in (None, each.name)
    ]
    if not fitting:
        raise Forbidden(f"no trusted publisher{f' of {package}' if package else ''} is for {_words(build)}")
    of_owner = [each for each in fitting if each.owner_id in (None, build.owner_id)]
    if not of_owner:
        raise _other_owner(build)
    usable = [each for each in of_owner if each.is_usable]
    if not usable:
        raise Forbidden(
            f"{of_owner[0].added_by}, who added this trusted publisher, does not own "
            f"{rust_quote(of_owner[0].name)}, or it waited too long for a first version; add it again"
        )
    if len({each.name for each in usable}) > 1:
        raise UnprocessableBody("several packages trust this build; say which one in `package`")
    if usable[0].is_new and len({each.user_id for each in usable}) > 1:
        # Nothing tells which of them the build belongs to, and the first version makes an owner.
        raise Forbidden(
            f"several users added this build for the new name {rust_quote(usable[0].name)}; publish its "
            "first version with a token"
        )
    return usable[0]


async def _add_token(tx: AsyncConnection, build: Build, publisher: Publisher, secret: str) -> TrustedToken:
    expires_at = datetime.now(UTC) + LIFETIME
    provenance = asdict(build.provenance)
    token_id = await tokens.add(
        tx,
        publisher.user_id,
        token_hash=secret_hash(secret),
        label=f"trusted publishing of {build.provenance.repository}",
        scopes=[Scope.PUBLISH],
        expires_at=expires_at,
        packages=[publisher.name],
        provenance=provenance,
        publisher_id=publisher.id,
    )
    if token_id is None:
        raise TokenGenerationFailed
    await audit.record(
        tx,
        "trusted_publishing_token",
        user_id=publisher.user_id,
        token_id=None,
        package=publisher.name,
        details={"token_id": str(token_id), "publisher_id": str(publisher.id), **provenance},
    )
    return TrustedToken(secret, publisher.name, expires_at)


def _other_owner(build: Build) -> Forbidden:
    return Forbidden(
        f"the owner of {rust_quote(build.provenance.repository)} is not the one who was trusted; if that is "
        "right, remove the trusted publisher and add it again"
    )


def _words(build: Build) -> str:
    """The facts that a person compares with the configuration."""
    where = "no environment" if build.environment is None else f"environment {rust_quote(build.environment)}"
    origin = build.provenance
    return (
        f"{rust_quote(origin.repository)}, workflow {rust_quote(origin.workflow)}, {where} at {origin.issuer}"
    )
