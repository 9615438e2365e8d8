"""A build to trust, as people describe it: validated, and in the terms of its issuer. Pure.

GitHub and GitLab allow these paths. None of them can leave a folder or mislead a reader.
"""

from __future__ import annotations

import re
from typing import Final

from api.write.trusted_publishing.builds import GITHUB, GITHUB_FOLDER
from api.write.trusted_publishing.publishers import Wanted
from shared.errors import UnprocessableBody
from shared.settings import Settings

SEGMENT: Final = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,254}"
FOLDERS: Final = rf"{SEGMENT}(/{SEGMENT})*"
WORKFLOW: Final = r"(?!.*\.\.)[A-Za-z0-9._][A-Za-z0-9._/ -]{0,250}\.ya?ml"
ENVIRONMENT: Final = r"[^\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]{1,255}"


def parse_wanted(
    settings: Settings,
    kind: str,
    repository: str,
    workflow: str,
    environment: str | None,
    issuer: str | None,
) -> Wanted:
    """A build to trust. repository: its path at the issuer. issuer: None for the first one of the kind.

    workflow: at GitHub a file's name, at GitLab a path. Raises UnprocessableBody for what cannot be.
    """
    is_github = kind == GITHUB
    _require(
        rf"{SEGMENT}/{SEGMENT}" if is_github else rf"{SEGMENT}/{FOLDERS}", repository, "a repository's path"
    )
    if is_github and "/" in workflow:
        raise UnprocessableBody(f"workflow is the name of a file in {GITHUB_FOLDER}, without a path")
    _require(WORKFLOW, workflow, "a workflow's file, which ends in .yml or .yaml")
    if environment is not None:
        _require(ENVIRONMENT, environment, "an environment's name")
    return Wanted(
        kind=kind,
        issuer=_issuer(settings, kind, issuer),
        repository=repository,
        workflow=f"{GITHUB_FOLDER if is_github else ''}{workflow}",
        environment=environment,
    )


def _require(pattern: str, text: str, what: str) -> None:
    if not re.fullmatch(pattern, text) or len(text) > 512:
        raise UnprocessableBody(f"this is not {what}")


def _issuer(settings: Settings, kind: str, issuer: str | None) -> str:
    trusted = [each.url for each in settings.trusted_issuers if each.kind == kind]
    chosen = issuer if issuer is not None else next(iter(trusted), None)
    if chosen is None or chosen not in trusted:
        raise UnprocessableBody(f"this registry trusts no such {kind} issuer; see GET /v1/trusted-publishing")
    return chosen
