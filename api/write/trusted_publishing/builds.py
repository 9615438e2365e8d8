"""Reads the build from a checked identity token, in the terms of its issuer: GitHub Actions, GitLab CI. Pure.

Paths of repositories are compared without case, paths of files with case; names of environments without case
at GitHub only. A claim that is missing or malformed is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from api.write.identity_tokens import Identity, refused
from shared.provenance import Provenance
from shared.text import rust_quote

# GitHub runs these for events that strangers cause, with the repository's own rights.
REFUSED_EVENTS: Final = frozenset({"pull_request_target", "workflow_run"})
GITHUB: Final = "github"
GITLAB: Final = "gitlab"
GITHUB_FOLDER: Final = ".github/workflows/"


@dataclass(frozen=True, slots=True)
class Build:
    """A run of continuous integration. owner_id: the issuer's number of the owner, which no rename changes.

    environment: None for a job without one.
    """

    kind: str
    provenance: Provenance
    owner_id: str
    environment: str | None

    def is_of_repository(self, repository: str) -> bool:
        """True if the build belongs to the repository with this path."""
        return self.provenance.repository.lower() == repository.lower()

    def is_in_environment(self, environment: str | None) -> bool:
        """True if the job has this environment; None means any."""
        if environment is None or self.environment is None:
            return environment is None
        if self.kind == GITHUB:
            return self.environment.lower() == environment.lower()
        return self.environment == environment


def build_of(identity: Identity) -> Build:
    """The build of a checked identity token. Raises IdentityInvalid."""
    return _READERS[identity.kind](identity.issuer, identity.claims)


def _github(issuer: str, claims: Mapping[str, Any]) -> Build:
    repository, event = _text(claims, "repository"), _text(claims, "event_name")
    if event in REFUSED_EVENTS:
        raise refused(f"it is of the event {event}, which strangers can cause")
    workflow = _below(_text(claims, "workflow_ref"), f"{repository}/")
    job = _text(claims, "job_workflow_ref").partition("@")[0]
    if job.lower() != f"{repository}/{workflow}".lower() or not job.endswith(workflow):
        raise refused(
            f"its job is of the reusable workflow {rust_quote(job[:200])}; publish from a job of your own"
        )
    provenance = Provenance(
        issuer=issuer,
        repository=repository,
        workflow=workflow,
        commit=_text(claims, "sha"),
        run=_text(claims, "run_id"),
    )
    return Build(GITHUB, provenance, _text(claims, "repository_owner_id"), _environment(claims))


def _gitlab(issuer: str, claims: Mapping[str, Any]) -> Build:
    repository, namespace = _text(claims, "project_path"), _text(claims, "namespace_path")
    if not repository.lower().startswith(f"{namespace}/".lower()):
        raise refused("its project is not below its namespace")
    host = urlsplit(issuer)
    provenance = Provenance(
        issuer=issuer,
        repository=repository,
        workflow=_below(_text(claims, "ci_config_ref_uri"), f"{host.netloc}{host.path}/{repository}//"),
        commit=_text(claims, "sha"),
        run=_text(claims, "pipeline_id"),
    )
    return Build(GITLAB, provenance, _text(claims, "namespace_id"), _environment(claims))


_READERS: Final[Mapping[str, Callable[[str, Mapping[str, Any]], Build]]] = {GITHUB: _github, GITLAB: _gitlab}


def _below(reference: str, folder: str) -> str:
    """The path in `FOLDER PATH@refs/…`. Raises IdentityInvalid for another folder, as of another repository.

    A file may have an `@` in its name, and would look like another one without the check of the ref.
    """
    path, _, ref = reference.partition("@")
    if not path.lower().startswith(folder.lower()) or len(path) == len(folder):
        raise refused(f"its workflow {rust_quote(path[:200])} is of another repository")
    if not ref.startswith("refs/"):
        raise refused(f"its workflow {rust_quote(reference[:200])} names no ref")
    return path[len(folder) :]


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value or len(value) > 1024 or not value.isprintable():
        raise refused(f"its claim {name} is missing, or is no text")
    return value


def _environment(claims: Mapping[str, Any]) -> str | None:
    return None if claims.get("environment") is None else _text(claims, "environment")
