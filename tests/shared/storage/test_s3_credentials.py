"""S3 without a key in the settings: credentials of a container, a web identity or a machine."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shared.errors import StorageFailed, StorageUnavailable
from shared.settings import Settings
from shared.storage.s3 import S3Storage
from tests.stack import serving

LISTING = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
IDENTITY = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/s</Arn>
<AssumedRoleId>i</AssumedRoleId></AssumedRoleUser><Credentials><AccessKeyId>{AccessKeyId}</AccessKeyId>
<SecretAccessKey>{SecretAccessKey}</SecretAccessKey><SessionToken>{Token}</SessionToken>
<Expiration>{Expiration}</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>"""


@dataclass
class Cloud:
    """Plays who gives credentials, and a bucket that notes them. Each credential has a number and ends soon.

    seen: key and session token of each request for the bucket. asked: what asked for credentials sent.
    """

    url: str = ""
    is_broken: bool = False
    given: int = 0
    seen: list[tuple[str, str]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    @property
    def app(self) -> Starlette:
        """The application."""
        return Starlette(
            routes=[
                Route("/container", self._container),
                Route("/latest/api/token", lambda _: Response("imds"), methods=["PUT"]),
                Route("/latest/meta-data/iam/security-credentials/", lambda _: Response("role")),
                Route("/latest/meta-data/iam/security-credentials/role", self._machine),
                Route("/", self._identity, methods=["POST"]),
                Route("/bucket", self._bucket),
            ]
        )

    def _credentials(self) -> dict[str, str]:
        self.given += 1
        # botocore renews credentials that end within ten minutes before it uses them.
        end = datetime.now(UTC) + timedelta(minutes=5)
        return {
            "Code": "Success",
            "AccessKeyId": f"key-{self.given}",
            "SecretAccessKey": "secret",
            "Token": f"token-{self.given}",
            "Expiration": end.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def _container(self, request: Request) -> Response:
        self.asked.append(request.headers.get("authorization", ""))
        return Response("", 500) if self.is_broken else JSONResponse(self._credentials())

    def _machine(self, request: Request) -> Response:
        self.asked.append(request.headers.get("x-aws-ec2-metadata-token", ""))
        return JSONResponse(self._credentials())

    async def _identity(self, request: Request) -> Response:
        form = (await request.body()).decode()
        self.asked.append(re.findall("WebIdentityToken=([a-z]+)", form)[0])
        return Response(IDENTITY.format(**self._credentials()), media_type="text/xml")

    def _bucket(self, request: Request) -> Response:
        key = re.findall("Credential=([^/]+)/", request.headers["authorization"])[0]
        self.seen.append((key, request.headers.get("x-amz-security-token", "")))
        return Response(LISTING, media_type="application/xml")


@pytest_asyncio.fixture
async def cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Cloud]:
    """A cloud, and an environment that knows no credentials yet."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    playing = Cloud()
    async with serving(playing.app) as playing.url:
        yield playing


def settings_of(cloud: Cloud, **more: str) -> Settings:
    """The bucket, without a key."""
    return Settings(
        storage="s3",
        s3_bucket="bucket",
        s3_region="eu-central-1",
        s3_endpoint=cloud.url,
        s3_force_path_style=True,
        **more,
    )


def of_container(cloud: Cloud, folder: Path) -> dict[str, str]:
    """As ECS, EKS Pod Identity and others tell a container."""
    url = f"{cloud.url}/container"
    return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": url, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "container"}


def of_web_identity(cloud: Cloud, folder: Path) -> dict[str, str]:
    """As a service account of Kubernetes is told."""
    (folder / "identity").write_text("identity")
    return {
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(folder / "identity"),
        "AWS_ROLE_ARN": "arn:aws:iam::1:role/r",
        "AWS_ENDPOINT_URL_STS": cloud.url,
    }


def of_machine(cloud: Cloud, folder: Path) -> dict[str, str]:
    """As a machine asks its metadata service."""
    return {"AWS_EC2_METADATA_SERVICE_ENDPOINT": cloud.url, "AWS_EC2_METADATA_DISABLED": "false"}


@pytest.mark.parametrize(
    ("variables", "sent", "is_renewed"),
    [(of_container, "container", True), (of_web_identity, "identity", True), (of_machine, "imds", False)],
    ids=["container", "web identity", "machine"],
)
async def test_a_role_gives_credentials_that_are_renewed(
    cloud: Cloud,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    variables: Callable[[Cloud, Path], dict[str, str]],
    sent: str,
    is_renewed: bool,
) -> None:
    """Each request is signed with the credentials that were given last, and carries their session token.

    is_renewed: botocore prolongs what a machine's metadata service gives, instead of asking again so soon.
    """
    for name, value in variables(cloud, tmp_path).items():
        monkeypatch.setenv(name, value)
    storage = await S3Storage.connect(settings_of(cloud))
    await storage.check()
    await storage.check()
    await storage.close()
    assert cloud.seen[-1] == (f"key-{cloud.given}", f"token-{cloud.given}")
    assert (cloud.seen[0] != cloud.seen[1]) == is_renewed
    assert set(cloud.asked) == {sent}


async def test_a_session_token_is_sent_with_its_key(cloud: Cloud) -> None:
    """Temporary keys are refused without it."""
    keys = {"s3_access_key_id": "own", "s3_secret_access_key": "secret", "s3_session_token": "token"}
    storage = await S3Storage.connect(settings_of(cloud, **keys))
    await storage.check()
    await storage.close()
    assert cloud.seen == [("own", "token")]


async def test_without_credentials_storage_does_not_open(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The client would not look for them again; the process ends, and is started again."""
    with pytest.raises(StorageFailed):
        await S3Storage.connect(settings_of(cloud))
    cloud.is_broken = True
    for name, value in of_container(cloud, tmp_path).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StorageUnavailable):
        await S3Storage.connect(settings_of(cloud))
