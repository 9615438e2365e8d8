"""docs/publishing.md: its commands trust a build, and its workflow files publish, as they stand."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.archives import hello_manifest, json_bytes, listed_files
from tests.http.test_trusted_publishing import issuers, trusting_registry
from tests.oidc_issuer import ASK, REQUEST_TOKEN, Issuer
from tests.stack import Registry
from tests.test_readme import shell

__all__ = ["issuers", "trusting_registry"]

PAGE = (Path(__file__).parents[2] / "docs" / "publishing.md").read_text()
HELLO = "/v1/packages/hello"


def blocks(section: str, language: str) -> list[str]:
    """The blocks of a section of the page."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with a package."""
    manifest = hello_manifest()
    for name, content in {"x07-package.json": json_bytes(manifest), **listed_files(manifest)}.items():
        path = tmp_path / "checkout" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "checkout"


@pytest.fixture
def run(trusting_registry: Registry, checkout: Path) -> Callable[..., Any]:
    """Runs a script of the page where the package is, with these variables."""

    async def run(script: str, **variables: str) -> str:
        known = {"REGISTRY": trusting_registry.url, "PATH": os.environ["PATH"], **variables}
        return await shell(
            "".join(f"export {name}='{value}'\n" for name, value in known.items()) + script, checkout
        )

    return run


async def owner_of(registry: Registry) -> str:
    """The token of somebody who may trust builds."""
    user_id = await registry.add_user("alice")
    return await registry.add_token(user_id, "owner.manage")


async def test_the_workflow_of_github_publishes(
    trusting_registry: Registry, issuers: tuple[Issuer, Issuer], run: Callable[..., Any]
) -> None:
    """After the command of the page, with keys that changed since; then only builds may publish."""
    github, _ = issuers
    token = await owner_of(trusting_registry)
    await run(blocks("GitHub", "sh")[0], TOKEN=token)
    job = yaml.safe_load(blocks("GitHub", "yaml")[0])["jobs"]["publish"]
    assert job["permissions"] == {"contents": "read", "id-token": "write"}
    github.claims = {"environment": job["environment"]}
    script = job["steps"][-1]["run"]
    ask = {
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": REQUEST_TOKEN,
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{github.url}{ASK}?api-version=2.0",
    }

    await run(script, **ask)

    github.rotate()
    await run("""sed -i 's/"0.1.0"/"0.2.0"/' x07-package.json\n""" + script, **ask)
    page = (await trusting_registry.http.get(HELLO)).json()
    assert [version["version"] for version in page["versions"]] == ["0.2.0", "0.1.0"]
    assert page["versions"][0]["published_by"]["repository"] == "octo/hello"
    live = "SELECT 1 FROM tokens t JOIN token_limits l ON l.token_id = t.id WHERE t.revoked_at IS NULL"
    assert await trusting_registry.rows(live) == []
    output = await run(blocks("Only builds may publish", "sh")[0], TOKEN=token)
    assert '"trusted_publishing_only":true' in output


async def test_the_pipeline_of_gitlab_publishes(
    trusting_registry: Registry, issuers: tuple[Issuer, Issuer], run: Callable[..., Any]
) -> None:
    """GitLab puts the identity into a variable."""
    _, gitlab = issuers
    await run(blocks("GitLab", "sh")[0], TOKEN=await owner_of(trusting_registry))
    job = yaml.safe_load(blocks("GitLab", "yaml")[0])["publish"]
    (variable,) = job["id_tokens"]
    identity = gitlab.sign(gitlab.gitlab(trusting_registry.settings.public_base))

    await run("\n".join(job["script"]), **{variable: identity})

    (version,) = (await trusting_registry.http.get(HELLO)).json()["versions"]
    assert version["published_by"]["workflow"] == ".gitlab-ci.yml"
