"""The services that request handlers use. app.open_services builds one set for each process."""

from __future__ import annotations

from dataclasses import dataclass, field

from starlette.requests import Request

from api.write.admission import Intake
from api.write.archive.check_pool import Checks
from api.write.github import Github
from api.write.identity_tokens import IdentityTokens
from api.write.last_used import LastUsed
from api.write.publish_commit import Acceptance
from api.write.rate_limits import RateLimits
from api.write.scanner_keys import ScannerKeys
from api.write.search import Searches
from api.write.token_lookup import KnownTokens
from api.write.upload_throttle import Pace
from api.write.visibility import Visibility
from shared.busy import Turns
from shared.database import Database
from shared.high_water import HighWater
from shared.http.readiness import Probe, Probes
from shared.messages import Notifier
from shared.settings import Settings
from shared.storage.interface import Storage
from shared.storage.write_check import WriteCheck


@dataclass(frozen=True, slots=True)
class Services:
    """The services of a write process. github: None without GitHub sign-in.

    scanner_keys: None where reports of leaked tokens are not taken.
    """

    settings: Settings
    database: Database
    storage: Storage
    notifier: Notifier
    visibility: Visibility
    last_used: LastUsed
    last_seen: LastUsed
    github: Github | None
    rate_limits: RateLimits
    checks: Checks
    intake: Intake
    pace: Pace
    acceptance: Acceptance
    known_tokens: KnownTokens
    searches: Searches
    scanner_keys: ScannerKeys | None
    identity_tokens: IdentityTokens
    high_water: HighWater
    writes: WriteCheck
    turns: Turns = field(default_factory=Turns)

    @property
    def dependencies(self) -> Probes:
        """The dependencies of a publish. Redis is optional, because the worker's sweep replaces wake-ups.

        high_water: checks that the database is not older than storage.
        """
        return {
            "database": Probe(self.database.check),
            "storage": Probe(self.writes),
            "redis": Probe(self.notifier.check, is_required=False),
            "high_water": Probe(self.high_water.require),
        }


def services_of(request: Request) -> Services:
    """The services of the application that serves this request."""
    services: Services = request.app.state.services
    return services
