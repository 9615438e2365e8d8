"""Commits publishes. Concurrent ones share a transaction, and so its round trips and its commit.

Each publish gets its own checks and its own result. When a batch fails for a reason that may concern only
one publish, the publishes are committed one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4

from api.write.archive.check import CheckedArchive
from api.write.new_names import check_new_name
from api.write.principal import Principal
from api.write.private_readers import not_a_reader, reads_all
from api.write.publish_conflicts import conflicts_with
from api.write.queries import publishes
from api.write.queries.dependents import Dependent
from api.write.queries.publishes import NewVersion, Standing, Wanted
from shared.batching import COMPANY_WAIT_S, Batcher, together_or_apart
from shared.busy import until_free
from shared.database import Database
from shared.errors import Forbidden, PackageBusy, RegistryError, StorageUnavailable
from shared.names import fold_name
from shared.private_names import is_private
from shared.publish_errors import AlreadyPublished
from shared.settings import Settings
from shared.statements import Connection
from shared.stop_points import stop_at
from shared.text import rust_quote
from shared.versions import read_version, version_key

A_BATCH: Final = 32
# How often a publish is judged anew when its standing keeps changing; then it waits like for a busy package.
TRIES: Final = 4


@dataclass(frozen=True, slots=True)
class Candidate:
    """A publish to commit. sha256: of the archive, 64 hex digits.

    upload_id: of the staged archive; unique to this publish, even among retries.
    """

    caller: Principal
    archive: CheckedArchive
    sha256: str
    upload_id: str

    @property
    def wanted(self) -> Wanted:
        """The name, version and caller that the database is asked about."""
        return Wanted(self.archive.name, self.archive.version, self.caller.user_id, self.upload_id)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A publish whose rows are committed. generation: the package's generation that contains the version.

    conflicts: packages whose requirement of this package excludes the new version.
    """

    package_id: UUID
    generation: int
    conflicts: tuple[Dependent, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """The result of `ask` for a publish that it does not refuse. conflicts: as of Accepted."""

    standing: Standing
    conflicts: tuple[Dependent, ...]


class Acceptance:
    """Commits the publishes of one write process."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._signer = settings.signer()
        self._namespace_owners = settings.namespace_owners
        self._private_namespaces = settings.private_namespaces
        self._stop_wanted = settings.test_stop_at
        self._database = database
        self._asked: Batcher[Candidate, Asked] = Batcher(self._ask, largest=A_BATCH, linger_s=COMPANY_WAIT_S)
        self._accepted: Batcher[tuple[Candidate, Asked], Accepted] = Batcher(
            self._accept, largest=A_BATCH, linger_s=COMPANY_WAIT_S
        )

    async def ask(self, candidate: Candidate) -> Asked:
        """Raise the reason why the publish would be refused now, so that nothing is staged for it.

        `accept` checks again under the package's lock. Raises InvalidName, NameReserved, NameTooSimilar,
        Forbidden, AlreadyPublished.
        """
        return await self._asked.submit(candidate)

    async def accept(self, candidate: Candidate, asked: Asked) -> Accepted:
        """Commit a publish whose archive is staged. Raises what `ask` raises.

        While another process changes or publishes the package, the publish waits on its own, outside the
        batch; raises PackageBusy when that takes too long. Raises StorageUnavailable when garbage collection
        has deleted the staged archive: the client's next attempt stages it again.
        """
        return await until_free(lambda: self._accepted.submit((candidate, asked)))

    async def close(self) -> None:
        """Wait for the batches that are in progress."""
        await self._asked.close()
        await self._accepted.close()

    async def _ask(self, batch: Sequence[Candidate]) -> Sequence[Asked | RegistryError]:
        async with self._database.driver() as tx:
            standings = await publishes.standings(tx, [candidate.wanted for candidate in batch])
            return [await self._asked_of(tx, *pair) for pair in zip(batch, standings, strict=True)]

    async def _asked_of(
        self, tx: Connection, candidate: Candidate, standing: Standing
    ) -> Asked | RegistryError:
        archive = candidate.archive
        if (refusal := self._refusal(candidate, standing)) is not None:
            return await _explained(tx, candidate, refusal)
        required = standing.is_required
        return Asked(standing, await conflicts_with(tx, archive.name, archive.version) if required else ())

    async def _accept(self, batch: Sequence[tuple[Candidate, Asked]]) -> Sequence[Accepted | Exception]:
        outcomes: dict[int, Accepted | Exception] = {}
        for places in _of_different_packages([candidate for candidate, _ in batch]):
            results = await together_or_apart(self._decide, [batch[place] for place in places])
            outcomes |= dict(zip(places, results, strict=True))
        return [outcomes[place] for place in range(len(batch))]

    async def _decide(self, batch: Sequence[tuple[Candidate, Asked]]) -> list[Accepted | Exception]:
        """Commit publishes to packages that are different and do not look alike.

        One whose standing has changed since it was asked is judged by the new one, and committed again.
        """
        outcomes: list[Accepted | Exception] = [PackageBusy() for _ in batch]
        standings = {place: asked.standing for place, (_, asked) in enumerate(batch)}
        for _ in range(TRIES):
            if not standings:
                break
            new = {place: self._new_version(batch[place][0], standings[place]) for place in standings}
            found = dict(zip(new, await self._commit(list(new.values())), strict=True))
            standings = {}
            for place, outcome in found.items():
                candidate, asked = batch[place]
                if isinstance(outcome, Standing):
                    if (refusal := self._refusal(candidate, outcome)) is None:
                        standings[place] = outcome
                    else:
                        async with self._database.driver() as tx:
                            outcomes[place] = await _explained(tx, candidate, refusal)
                elif outcome is not None:
                    package_id = new[place].standing.package_id or new[place].package_id
                    outcomes[place] = Accepted(package_id, outcome, asked.conflicts)
        return outcomes

    async def _commit(self, new: list[NewVersion]) -> list[int | Standing | None]:
        stop_at("before_commit", self._stop_wanted)
        async with self._database.driver() as connection:
            outcomes = await publishes.accept(connection, new)
        stop_at("after_commit", self._stop_wanted)
        return outcomes

    def _refusal(self, candidate: Candidate, standing: Standing) -> RegistryError | None:
        """The error for a caller who may not publish this version, in the contract's order, or None."""
        name, caller = candidate.archive.name, candidate.caller
        if not standing.is_owner and self._is_closed_to(caller, name):
            return not_a_reader(name)
        if standing.package_id is None:
            try:
                check_new_name(name, caller, standing.look_alike, self._namespace_owners)
            except RegistryError as error:
                return error
        elif not caller.is_admin and not standing.is_owner:
            return Forbidden("not a package owner")
        elif standing.is_trusted_only and caller.provenance is None:
            return Forbidden(
                f"{rust_quote(name)} is published by trusted publishers only; publish from "
                "one, or have an owner set trusted_publishing_only to false"
            )
        elif standing.is_taken:
            return AlreadyPublished()
        return StorageUnavailable() if standing.is_collected else None

    def _is_closed_to(self, caller: Principal, name: str) -> bool:
        """True if the package is private, and the caller may see it only as an owner."""
        private = self._private_namespaces
        return is_private(name, private) and not reads_all(caller, name, private)

    def _new_version(self, candidate: Candidate, standing: Standing) -> NewVersion:
        archive, caller, signer = candidate.archive, candidate.caller, self._signer
        return NewVersion(
            standing=standing,
            package_id=uuid4(),
            name=archive.name,
            becomes_latest=_becomes_latest(archive.version, standing.latest_version),
            version=archive.version,
            cksum=candidate.sha256,
            upload_id=candidate.upload_id,
            manifest=archive.manifest.raw,
            user_id=caller.user_id,
            token_id=caller.token_id,
            scale_classes_supported=archive.scale.classes,
            scale_tested=archive.scale.tested,
            scale_test_evidence_ref=archive.scale.evidence_ref,
            signature=(signer.key_id, signer.sign(archive.name, archive.version, candidate.sha256))
            if signer
            else None,
            provenance=caller.provenance,
        )


async def _explained(tx: Connection, candidate: Candidate, refusal: RegistryError) -> RegistryError:
    """The refusal; for a version that was removed, one that says so."""
    if isinstance(refusal, AlreadyPublished) and await publishes.is_removed(tx, candidate.wanted):
        return AlreadyPublished.removed(candidate.archive.name, candidate.archive.version)
    return refusal


def _becomes_latest(version: str, latest: str | None) -> bool:
    """True if the version is greater than the latest. Pre-releases count; an invalid latest loses."""
    stored = read_version(latest) if latest is not None else None
    return stored is None or version_key(version) > stored.key


def _of_different_packages(batch: Sequence[Candidate]) -> Iterable[list[int]]:
    """Group the indices of a batch into rounds so that no round has a package twice, in the batch's order.

    Names that look alike are not in one round either: the second new name has to find the first.
    """
    rounds: list[dict[str, int]] = []
    for place, candidate in enumerate(batch):
        folded_name = fold_name(candidate.archive.name)
        free = next((one for one in rounds if folded_name not in one), None)
        if free is None:
            rounds.append(free := {})
        free[folded_name] = place
    return [list(one.values()) for one in rounds]
