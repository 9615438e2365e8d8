"""What request handlers work with; one set a process, built in deploy/."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.requests import Request

from api.write.checks import Checks
from api.write.github import Github
from api.write.intake import Intake
from api.write.kept_totals import KeptTotals
from api.write.known_tokens import KnownTokens
from api.write.last_used import LastUsed
from api.write.pace import Pace
from api.write.rate_limits import RateLimits
from api.write.waiting import Publications
from shared.database import Database
from shared.http.readiness import Probe, Probes
from shared.jobs import Notifier
from shared.settings import Settings
from shared.storage.interface import Storage

if TYPE_CHECKING:  # it needs this module
    from api.write.acceptance import Acceptance


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of a write process. github: None where there is no GitHub sign-in."""

    settings: Settings
    database: Database
    storage: Storage
    notifier: Notifier
    publications: Publications
    last_used: LastUsed
    last_seen: LastUsed
    github: Github | None
    rate_limits: RateLimits
    checks: Checks
    intake: Intake
    pace: Pace
    acceptance: Acceptance
    known_tokens: KnownTokens
    search_totals: KeptTotals = field(default_factory=KeptTotals)

    @property
    def dependencies(self) -> Probes:
        """What a publish depends on. Redis may be away: the worker's sweep makes up for it."""
        return {
            "database": Probe(self.database.check),
            "storage": Probe(self.storage.check),
            "redis": Probe(self.notifier.check, is_required=False),
        }


def services_of(request: Request) -> Services:
    """The services of the application that serves this request."""
    services: Services = request.app.state.services
    return services
