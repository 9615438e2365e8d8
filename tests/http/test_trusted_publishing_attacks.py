"""Attacks on trusted publishing: forged and stolen identities, other builds, and issuers that misbehave."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import httpx
import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.warnings import InsecureKeyLengthWarning
from starlette.responses import JSONResponse, RedirectResponse, Response

from deploy.asgi import build_write_app
from tests.archives import hello_archive
from tests.conftest import MakeSettings
from tests.http.test_trusted_publishing import (
    EXCHANGE,
    GITHUB,
    issuers,
    path_of,
    trust,
    trusting,
    trusting_registry,
)
from tests.oidc_issuer import DISCOVERY, KEYS, Issuer, jwk
from tests.stack import Registry, eventually, running_registry, serving

__all__ = ["issuers", "trusting_registry"]


class Attacked:
    """A registry that trusts octo/hello at GitHub, and the issuers."""

    def __init__(self, registry: Registry, github: Issuer, gitlab: Issuer, owner: dict[str, str]) -> None:
        self.registry, self.github, self.gitlab, self.owner = registry, github, gitlab, owner
        self.audience = registry.settings.public_base

    def claims(self, **claims: Any) -> dict[str, Any]:
        """Those of a build that may publish, but for these."""
        return self.github.github(self.audience, **claims)

    async def exchange(self, token: str) -> tuple[int, str, str]:
        """Status, code and message of an exchange; after a success the code is empty."""
        answer = await self.registry.http.post(EXCHANGE, json={"jwt": token})
        body = answer.json()
        if answer.status_code == 503:
            assert int(answer.headers["retry-after"]) > 0
        return answer.status_code, body.get("code", ""), body.get("message", "")

    async def refuses(self, token: str, words: str, status: int = 400) -> None:
        """The exchange is refused for this reason, and makes no token."""
        code = "X07REG_IDENTITY_INVALID" if status == 400 else "X07REG_FORBIDDEN"
        found = await self.exchange(token)
        assert found[:2] == (status, code), found
        assert words in found[2], found

    async def takes(self, **claims: Any) -> None:
        """A build with these claims gets a token."""
        found = await self.exchange(self.github.sign(self.claims(**claims)))
        assert found[0] == 200, found

    async def gets_a_token(self) -> bool:
        """Whether a build that may publish gets one now."""
        status, _, _ = await self.exchange(self.github.sign(self.claims()))
        assert status in (200, 503)
        return status == 200

    async def tokens(self) -> int:
        """How many tokens builds got."""
        rows = await self.registry.rows("SELECT 1 FROM token_limits WHERE provenance IS NOT NULL")
        return len(rows)


@pytest_asyncio.fixture
async def attacked(trusting_registry: Registry, issuers: tuple[Issuer, Issuer]) -> AsyncIterator[Attacked]:
    """What is attacked."""
    owner = await trusting_registry.add_publisher("alice", "owner.manage", "publish")
    await trust(trusting_registry, owner)
    yield Attacked(trusting_registry, *issuers, owner)


def part(data: bytes) -> str:
    """A part of a JSON Web Token (RFC 7515, 2)."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


async def test_an_identity_of_another_issuer_audience_or_key_is_refused(attacked: Attacked) -> None:
    """Also with the `kid` of the right key, and by an issuer that is trusted, but not for this package."""
    github, gitlab = attacked.github, attacked.gitlab
    stranger = generate_private_key(SECP256R1())
    good = attacked.claims()
    await attacked.refuses(github.sign({**good, "iss": "https://mallory.invalid"}), "is not trusted here")
    await attacked.refuses(github.sign({**good, "iss": f"{github.url}/"}), "is not trusted here")
    await attacked.refuses(github.sign({**good, "iss": gitlab.url}), "no key with the `kid`")
    await attacked.refuses(github.sign({**good, "aud": "https://other.invalid"}), "its audience is not")
    await attacked.refuses(github.sign({**good, "aud": [attacked.audience]}), "its audience is not")
    await attacked.refuses(github.sign(good, key=stranger), "Signature verification failed")
    await attacked.refuses(github.sign(good, kid="unknown"), "no key with the `kid`")
    own = generate_private_key(SECP256R1())
    pointing = {"jku": f"{gitlab.url}{KEYS}", "x5u": f"{gitlab.url}{KEYS}", "jwk": jwk("own", own)}
    await attacked.refuses(github.sign(good, key=own, **pointing), "Signature verification failed")
    for kid in ("../keys", "own", "\ud800", "", "0"):
        await attacked.refuses(github.sign(good, key=own, kid=kid, **pointing), "no key with the `kid`")
    await attacked.refuses(github.sign(good, crit=["exp"], exp=1), "is no JSON Web Token")
    head, body, signature = github.sign(good).split(".")
    first, second = body, part(json.dumps({**good, "iss": gitlab.url}).encode())
    for parts in ([head, second, signature], [head, first, part(bytes(64))], [head, first, part(bytes(63))]):
        assert (await attacked.exchange(".".join(parts)))[0] == 400
    other = part(jwt.utils.base64url_decode(body.encode()).replace(b"octo/hello", b"octo/other"))
    await attacked.refuses(f"{head}.{other}.{signature}", "Signature verification failed")
    forged = {
        **attacked.gitlab.gitlab(attacked.audience),
        "project_path": "octo/hello",
        "namespace_path": "octo",
    }
    host = gitlab.url.partition("//")[2]
    forged["ci_config_ref_uri"] = f"{host}/octo/hello//.github/workflows/release.yml@refs/x"
    await attacked.refuses(gitlab.sign(forged), "no trusted publisher is for", 403)
    assert await attacked.tokens() == 0


async def test_only_two_algorithms_are_taken_each_with_its_own_keys(attacked: Attacked) -> None:
    """`none`, HS256 with the public key as the secret, and others; RS256 with an RSA key of 2048 bits is."""
    kid, key = next(iter(attacked.github.keys.items()))
    claims = attacked.claims()
    words = "its algorithm is neither RS256 nor ES256"
    await attacked.refuses(jwt.encode(claims, None, algorithm="none", headers={"kid": kid}), words)
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head = part(json.dumps({"alg": "HS256", "kid": kid}).encode())
    signed = f"{head}.{attacked.github.sign(claims).split('.')[1]}"
    mac = hmac.digest(pem, signed.encode(), sha256)
    await attacked.refuses(f"{signed}.{part(mac)}", words)
    strong = rsa.generate_private_key(65537, 2048)
    await attacked.refuses(attacked.github.sign(claims, key=strong), "alg value is not allowed")
    attacked.github.rotate(strong)
    await attacked.takes()
    attacked.github.rotate(rsa.generate_private_key(65537, 1024))  # noqa: S505
    with pytest.warns(InsecureKeyLengthWarning):
        weak = attacked.github.sign(claims)
    await attacked.refuses(weak, "no key with the `kid`")


async def test_time_has_a_minute_of_leeway(attacked: Attacked) -> None:
    """Expired, not valid yet, issued in the future, and without an end."""
    now = int(time.time())
    for claims, words in (
        ({"exp": now - 70}, "Signature has expired"),
        ({"nbf": now + 90}, "not yet valid"),
        ({"iat": now + 90}, "not yet valid"),
        ({"exp": now + 40 * 86_400}, "lasts longer"),
        ({"exp": None}, '"exp"'),
        ({"iat": None}, '"iat"'),
        ({"jti": None}, '"jti"'),
        ({"jti": ""}, "jti"),
        ({"jti": 7}, "JWT ID must be a string"),
        ({"jti": "x" * 300}, "jti"),
        ({"jti": "x\0"}, "jti"),
        ({"exp": -1}, "Signature has expired"),
        ({"exp": float("nan")}, "exp"),
        ({"nbf": float("inf")}, ""),
        ({"iat": float("inf")}, ""),
        ({"iat": "1e9"}, "iat"),
        ({"exp": "soon"}, "exp"),
    ):
        await attacked.refuses(attacked.github.sign(attacked.claims(**claims)), words)
    await attacked.takes(exp=now - 20)
    await attacked.takes(nbf=now + 30, iat=now + 30)


async def test_an_identity_is_used_once(attacked: Attacked) -> None:
    """The same number in another token too; one that was refused may come again."""
    claims = attacked.claims(jti="once")
    assert (await attacked.exchange(attacked.github.sign(claims)))[0] == 200
    await attacked.refuses(attacked.github.sign(claims), "used already")
    await attacked.refuses(attacked.github.sign({**claims, "run_id": "2"}), "used already")
    assert await attacked.tokens() == 1


OTHER_BUILDS: list[tuple[dict[str, Any], str, int]] = [
    ({"repository": "octo/other"}, 'for "octo/other"', 403),
    ({"repository": "mallory/hello"}, 'for "mallory/hello"', 403),
    ({"repository": "octo/renamed"}, 'for "octo/renamed"', 403),
    ({"workflow_ref": "octo/hello/.github/workflows/ci.yml@refs/heads/x"}, "reusable workflow", 400),
    ({"job_workflow_ref": "octo/shared/.github/workflows/release.yml@x"}, "reusable workflow", 400),
    ({"job_workflow_ref": "octo/hello/.github/workflows/other.yml@x"}, "reusable workflow", 400),
    ({"job_workflow_ref": None}, "job_workflow_ref is missing", 400),
    (
        {"workflow_ref": "mallory/hello/.github/workflows/release.yml@refs/x"},
        "of another repository",
        400,
    ),
    ({"event_name": "pull_request_target"}, "strangers can cause", 400),
    ({"event_name": "workflow_run"}, "strangers can cause", 400),
    ({"event_name": None}, "event_name is missing", 400),
    ({"repository_owner_id": None}, "repository_owner_id is missing", 400),
    ({"sha": ["x"]}, "sha is missing", 400),
    ({"workflow_ref": "octo/hello/.github/workflows/release.yml@x.yml@refs/x"}, "names no ref", 400),
    ({"workflow_ref": "octo/hello/.github/workflows/release.yml"}, "names no ref", 400),
    ({"repository": "octo/hello\0"}, "repository is missing", 400),
    ({"sha": "\ud800"}, "sha is missing", 400),
    ({"environment": ""}, "environment is missing", 400),
    ({"sub": "repo:octo/hello:environment:release", "repository": "mallory/hello"}, "no trusted", 403),
    ({"repository": "\u212amallory/hello"}, "no trusted", 403),
]


async def test_other_builds_are_refused(attacked: Attacked) -> None:
    """Other repositories, forks and renamed ones, other workflows and reusable ones, events of strangers."""
    for claims, words, status in OTHER_BUILDS:
        await attacked.refuses(attacked.github.sign(attacked.claims(**claims)), words, status)


async def test_case_counts_where_the_issuer_says_so(attacked: Attacked) -> None:
    """Not in names of repositories and environments at GitHub; in names of files it does."""
    ref = "Octo/Hello/.github/workflows/{}@refs/heads/main"
    other = ref.format("Release.yml")
    claims = attacked.claims(repository="Octo/Hello", workflow_ref=other, job_workflow_ref=other)
    await attacked.refuses(attacked.github.sign(claims), "no trusted publisher is for", 403)
    same = ref.format("release.yml")
    await attacked.takes(repository="Octo/Hello", workflow_ref=same, job_workflow_ref=same)


async def test_an_environment_that_is_demanded_is_the_only_one(attacked: Attacked) -> None:
    """None is another one, too."""
    http, path = attacked.registry.http, path_of("hello")
    (first,) = (await http.get(path, headers=attacked.owner)).json()["trusted_publishers"]
    await http.delete(path_of("hello", first["id"]), headers=attacked.owner)
    await trust(attacked.registry, attacked.owner, **GITHUB, environment="Release")
    for environment in (None, "staging"):
        claims = attacked.claims(environment=environment)
        await attacked.refuses(attacked.github.sign(claims), "no trusted publisher is for", 403)
    await attacked.takes(environment="release")


async def test_a_name_that_was_deleted_and_taken_again_does_not_inherit(attacked: Attacked) -> None:
    """The owner's number is remembered from the first use; adding the publisher anew forgets it."""
    await attacked.takes()
    taken = attacked.github.sign(attacked.claims(repository_owner_id="666"))
    await attacked.refuses(taken, "is not the one who was trusted", 403)
    await attacked.takes()


async def test_what_is_no_token_is_refused(attacked: Attacked) -> None:
    """Junk, nesting and numbers without end, and a token of 20 KB."""
    head = part(b'{"alg":"ES256","kid":"x"}')
    for junk in (
        "",
        "a.b.c",
        "no.token.atall",
        f"{head}.{part(b'[]')}.x",
        f"{head}.{part(b'{}')}.x",
        f"{head}.{part(b'[' * 9000)}.x",
        f"{part(b'[' * 9000)}.{head}.x",
        head + "." + part(b'{"iss":7}') + ".x",
        "\u20ac.\u20ac.\u20ac",
    ):
        found = await attacked.exchange(junk)
        assert found[:2] == (400, "X07REG_IDENTITY_INVALID"), (junk[:40], found)
    good = attacked.claims()
    for number in (1e300, -1, "9" * 400):
        found = await attacked.exchange(attacked.github.sign({**good, "exp": number}))
        assert found[:2] == (400, "X07REG_IDENTITY_INVALID"), number
    huge = attacked.github.sign(attacked.claims(padding="x" * 20_000))
    assert (await attacked.exchange(huge))[:2] == (422, "X07REG_UNPROCESSABLE_BODY")
    assert attacked.github.asked.count(KEYS) <= 1


async def test_an_issuer_that_misbehaves_is_503_and_nothing_is_believed(attacked: Attacked) -> None:
    """Errors, redirects, junk, too much, and documents that point elsewhere."""
    github = attacked.github
    elsewhere = f"{attacked.gitlab.url}{KEYS}"
    wrong: list[dict[str, Response]] = [
        {DISCOVERY: Response("no", 500)},
        {KEYS: Response("no", 404)},
        {DISCOVERY: RedirectResponse(f"{github.url}/moved")},
        {KEYS: RedirectResponse(f"{github.url}/moved")},
        {DISCOVERY: Response("{")},
        {KEYS: JSONResponse({"keys": "none"})},
        {KEYS: Response(b'{"keys":[' + b" " * 300_000 + b"]}")},
        {DISCOVERY: JSONResponse({"issuer": github.url, "jwks_uri": elsewhere})},
        {DISCOVERY: JSONResponse({"issuer": github.url, "jwks_uri": "file:///etc/passwd"})},
        {DISCOVERY: JSONResponse({"issuer": attacked.gitlab.url, "jwks_uri": f"{github.url}{KEYS}"})},
    ]
    for github.answers in wrong:
        found = await attacked.exchange(github.sign(attacked.claims()))
        assert found[:2] == (503, "X07REG_UNAVAILABLE"), (github.answers, found)
    github.answers = {}
    await attacked.takes()


async def test_an_issuer_that_is_silent_is_503_until_it_speaks(
    issuers: tuple[Issuer, Issuer], make_default_settings: MakeSettings
) -> None:
    """It is asked again by the next build."""
    github, _ = issuers
    settings = await make_default_settings(**trusting(issuers), issuer_timeout_seconds=0.2)
    async with running_registry(settings) as registry:
        owner = await registry.add_publisher("alice", "owner.manage")
        await trust(registry, owner)
        attacked = Attacked(registry, *issuers, owner)
        github.silence = asyncio.Event()
        assert (await attacked.exchange(github.sign(attacked.claims())))[:2] == (503, "X07REG_UNAVAILABLE")
        github.silence.set()
        assert await eventually(attacked.gets_a_token)


async def test_keys_that_change_between_two_requests_are_found(attacked: Attacked) -> None:
    """The new one at once; the old one is good for nothing from then on."""
    github = attacked.github
    await attacked.takes()
    old_kid, old = next(iter(github.keys.items()))
    github.rotate()
    await attacked.takes()
    await attacked.refuses(github.sign(attacked.claims(), key=old, kid=old_kid), "no key with the `kid`")
    kid = next(iter(github.keys))
    github.answers[KEYS] = JSONResponse({"keys": [{**jwk(kid, github.keys[kid]), "use": "enc"}]})
    github.keys = {"other": github.keys[kid]}
    await attacked.refuses(github.sign(attacked.claims()), "no key with the `kid`")


async def test_made_up_keys_do_not_flood_the_issuer(attacked: Attacked) -> None:
    """Ten looks a minute; everybody who waits for one waits for the same."""
    begun = time.monotonic()
    for number in range(20):
        token = attacked.github.sign(attacked.claims(), kid=f"made-up-{number}")
        await attacked.refuses(token, "no key with the `kid`")
    since_then = (time.monotonic() - begun) * 10 / 60
    assert 11 <= attacked.github.asked.count(KEYS) <= 11 + since_then


async def test_who_names_the_build_of_somebody_else_does_not_get_the_package(attacked: Attacked) -> None:
    """Anybody can read the name of a repository. Of a new name, neither publisher takes the other's place."""
    registry, http = attacked.registry, attacked.registry.http
    mallory = await registry.add_publisher("mallory", "owner.manage", "publish")
    stolen = await trust(registry, mallory)
    for owner in (attacked.owner, mallory):
        (own,) = (await http.get(path_of("hello"), headers=owner)).json()["trusted_publishers"]
        assert (own["id"] == stolen["id"]) is (owner is mallory)
        assert (await trust(registry, owner))["id"] == own["id"]
    await attacked.refuses(attacked.github.sign(attacked.claims()), "several users added this build", 403)
    assert (await http.delete(path_of("hello", own["id"]), headers=attacked.owner)).status_code == 404

    assert (await http.delete(path_of("hello", stolen["id"]), headers=mallory)).status_code == 200
    await attacked.takes()
    await trust(registry, mallory)
    assert (await registry.publish(hello_archive(), attacked.owner)).status_code == 200
    await attacked.takes()
    states = (await http.get(path_of("hello"), headers=attacked.owner)).json()["trusted_publishers"]
    assert [(each["added_by"], each["state"]) for each in states] == [
        ("alice", "active"),
        ("mallory", "inactive"),
    ]


async def test_a_name_that_has_become_private_is_not_told_of(attacked: Attacked) -> None:
    """A publisher that waits for it from before hears the same, whether or not somebody took the name."""
    registry, audience = attacked.registry, attacked.audience
    mallory = await registry.add_publisher("mallory", "owner.manage")
    for name in ("acme-x", "acme-q"):
        await trust(registry, mallory, name, **{**GITHUB, "repository": name})
    settings = registry.settings.model_copy(update={"private_namespaces": {"acme-*": frozenset({"alice"})}})
    async with (
        serving(build_write_app(settings)) as url,
        httpx.AsyncClient(base_url=url, timeout=60) as http,
    ):
        archive = hello_archive("acme-x")
        answer = await http.post("/v1/packages/publish", content=archive, headers=attacked.owner)
        assert answer.status_code == 200, answer.text
        for name in ("acme-x", "acme-q"):
            identity = attacked.github.sign(attacked.github.github(audience, repository=f"octo/{name}"))
            refused = await http.post(EXCHANGE, json={"jwt": identity, "package": name})
            assert refused.status_code == 403
            assert refused.json()["message"].startswith(
                f'no trusted publisher of {name} is for "octo/{name}"'
            )
