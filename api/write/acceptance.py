"""Accepting publishes: those that come at the same time share a transaction, its round trips and its commit.

Each is asked and answered on its own. A batch that fails for a reason that may be one's alone is done
again one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4

import structlog

from api.write.archive import CheckedArchive
from api.write.dependents import conflicts_with
from api.write.principal import Principal
from api.write.queries import publishes
from api.write.queries.dependents import Dependent
from api.write.queries.publishes import NewVersion, Standing
from shared.batching import A_MOMENT_S, Batcher
from shared.blobs import staging_key
from shared.database import Database
from shared.errors import AlreadyPublished, Forbidden, RegistryError, StorageUnavailable, Unavailable
from shared.names import parse_new_name
from shared.settings import Settings
from shared.stop_points import stop_at
from shared.storage.interface import Storage
from shared.storage.together import together
from shared.versions import read_version, version_key

A_BATCH: Final = 32

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A publish that wants to be accepted. sha256: of the archive, 64 hex digits."""

    caller: Principal
    archive: CheckedArchive
    sha256: str

    @property
    def wanted(self) -> tuple[str, str, UUID]:
        """Name, version and user."""
        return self.archive.name, self.archive.version, self.caller.user_id


@dataclass(frozen=True, slots=True)
class Accepted:
    """A publish whose rows are committed. generation: of the package, which holds the version.

    conflicts: packages that require this one at a version that this is not.
    """

    package_id: UUID
    generation: int
    conflicts: tuple[Dependent, ...]


class Acceptance:
    """Of one write process."""

    def __init__(self, settings: Settings, database: Database, storage: Storage) -> None:
        self._signer = settings.signer()
        self._stop_wanted = settings.test_stop_at
        self._database = database
        self._storage = storage
        self._asked: Batcher[Candidate, None] = Batcher(self._ask, largest=A_BATCH, linger_s=A_MOMENT_S)
        self._accepted: Batcher[Candidate, Accepted] = Batcher(
            self._accept, largest=A_BATCH, linger_s=A_MOMENT_S
        )

    async def ask(self, candidate: Candidate) -> None:
        """Raise what speaks against the publish now: InvalidName, Forbidden, AlreadyPublished.

        So that a refusal stages nothing; it is asked again under the package's lock.
        """
        await self._asked.submit(candidate)

    async def accept(self, candidate: Candidate) -> Accepted:
        """Commit a publish whose archive is staged. Raises what `ask` raises; StorageUnavailable when the
        staged bytes were collected meanwhile: the next try puts them again.
        """
        return await self._accepted.submit(candidate)

    async def close(self) -> None:
        """Wait for what is under way."""
        await self._asked.close()
        await self._accepted.close()

    async def _ask(self, batch: Sequence[Candidate]) -> Sequence[RegistryError | None]:
        async with self._database.reading() as tx:
            standings = await publishes.standings(tx, [candidate.wanted for candidate in batch])
        return [_refusal(*pair) for pair in zip(batch, standings, strict=True)]

    async def _accept(self, batch: Sequence[Candidate]) -> Sequence[Accepted | Exception]:
        outcomes: dict[int, Accepted | Exception] = {}
        for places in _of_different_packages(batch):
            results = await self._accepted_or_one_by_one([batch[place] for place in places])
            outcomes |= dict(zip(places, results, strict=True))
        return [outcomes[place] for place in range(len(batch))]

    async def _accepted_or_one_by_one(self, batch: Sequence[Candidate]) -> list[Accepted | Exception]:
        try:
            return await self._commit(batch)
        except Exception as error:
            if isinstance(error, Unavailable) or len(batch) == 1:
                return [error] * len(batch)
            log.warning("batch_failed", publishes=len(batch), error=type(error).__name__)
        return [outcome for each in batch for outcome in await self._accepted_or_one_by_one([each])]

    async def _commit(self, batch: Sequence[Candidate]) -> list[Accepted | Exception]:
        """One transaction for publishes to different packages."""
        outcomes: list[Accepted | Exception | None] = []
        async with self._database.transaction() as tx:
            names = [candidate.archive.name for candidate in batch]
            await publishes.lock(tx, names, [candidate.sha256 for candidate in batch])
            standings = await publishes.standings(tx, [candidate.wanted for candidate in batch])
            outcomes = [_refusal(*pair) for pair in zip(batch, standings, strict=True)]
            outcomes = [
                outcome or lost for outcome, lost in zip(outcomes, await self._lost(batch), strict=True)
            ]
            new = {
                place: self._new_version(batch[place], standings[place])
                for place, outcome in enumerate(outcomes)
                if outcome is None
            }
            generations = await publishes.add(tx, list(new.values())) if new else {}
            for place, version in new.items():
                archive = batch[place].archive
                required = standings[place].is_required
                conflicts = await conflicts_with(tx, archive.name, archive.version) if required else ()
                outcomes[place] = Accepted(version.package_id, generations[version.package_id], conflicts)
            stop_at("before_commit", self._stop_wanted)
        stop_at("after_commit", self._stop_wanted)
        return [outcome for outcome in outcomes if outcome is not None]

    async def _lost(self, batch: Sequence[Candidate]) -> list[RegistryError | None]:
        """Whose staged bytes are not there (any more)."""
        stored = await together(*(self._storage.head(staging_key(each.sha256)) for each in batch))
        return [StorageUnavailable() if info is None else None for info in stored]

    def _new_version(self, candidate: Candidate, standing: Standing) -> NewVersion:
        archive, caller, signer = candidate.archive, candidate.caller, self._signer
        return NewVersion(
            package_id=standing.package_id or uuid4(),
            name=archive.name,
            is_new_package=standing.package_id is None,
            becomes_latest=_becomes_latest(archive.version, standing.latest_version),
            version=archive.version,
            cksum=candidate.sha256,
            manifest=archive.manifest.raw,
            user_id=caller.user_id,
            token_id=caller.token_id,
            scale_classes_supported=archive.scale.classes,
            scale_tested=archive.scale.tested,
            scale_test_evidence_ref=archive.scale.evidence_ref,
            signature=(signer.key_id, signer.sign(archive.name, archive.version, candidate.sha256))
            if signer
            else None,
        )


def _refusal(candidate: Candidate, standing: Standing) -> RegistryError | None:
    """Why the caller may not publish this version, in the contract's order."""
    if standing.package_id is None:
        try:
            parse_new_name(candidate.archive.name)
        except RegistryError as error:
            return error
        return None
    if not candidate.caller.is_admin and not standing.is_owner:
        return Forbidden("not a package owner")
    return AlreadyPublished() if standing.is_taken else None


def _becomes_latest(version: str, latest: str | None) -> bool:
    """True if the version is greater than the latest; pre-releases count, an unparsable latest loses."""
    stored = read_version(latest) if latest is not None else None
    return stored is None or version_key(version) > stored.key


def _of_different_packages(batch: Sequence[Candidate]) -> Iterable[list[int]]:
    """Places of a batch in as few rounds as it takes to have each package once a round, in order."""
    rounds: list[dict[str, int]] = []
    for place, candidate in enumerate(batch):
        name = candidate.archive.name
        free = next((one for one in rounds if name not in one), None)
        if free is None:
            rounds.append(free := {})
        free[name] = place
    return [list(one.values()) for one in rounds]
