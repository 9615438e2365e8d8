"""Examples and descriptions by name: a name has one meaning in the whole API.

A field, parameter or header without an entry here fails the generation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from msgspec import Meta

from api.write.credentials import TOKEN_PREFIX
from deploy.openapi.operation import Parameter

NAME, VERSION = "hello", "0.1.0"
CKSUM: Final = "f9384c8720ad0bd8dd4a1c9ac0fcf6b4cd6ed9e0e1e3f4d20f6a0ee36ba4c9a1"
EXAMPLE_UUID: Final = "7f9c24e8-3b12-4f0e-9c38-2a64d2a5c9b7"
TIME: Final = "2026-01-02T03:04:05.123456Z"
REQUEST_ID: Final = "3f0c5b0d6c0d4a3f8f0e7b1f3b8a9c2d"
ETAG: Final = f'"{CKSUM}"'
DIGITS: Final = "0123456789abcdef" * 4

FIELDS: Final[dict[str, Any]] = {
    "Advisory.kind": "broken",
    "Advisory.severity": "high",
    "CreateAdvisoryRequest.kind": "broken",
    "CreateAdvisoryRequest.severity": "high",
    "Dependency.latency_ms": 0.412,
    "DependentRequirement.package": "hello-web",
    "DependentRequirement.requirement": "^0.1",
    "Error.request_id": REQUEST_ID,
    "LogConfig.url": "https://registry.x07.io/log/",
    "LogConfig.vkey": "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
    "IndexAdvisory.kind": "broken",
    "IndexAdvisory.severity": "high",
    "IndexSignature.kind": "ed25519",
    "PublicKey.id": "key-2026-01",
    "ReadyResponse.dependencies": {
        "database": {"ok": True, "latency_ms": 0.412},
        "storage": {"ok": True, "latency_ms": 0.098},
        "redis": {"ok": True, "latency_ms": 0.201},
        "high_water": {"ok": True, "latency_ms": 0.002},
    },
    "SigningConfig.kind": "ed25519",
    "MetadataPackage.schema_version": "x07.package@0.1.0",
    "CreateTokenRequest.scopes": ["publish"],
    "api": "https://registry.example/v1/",
    "archetype": "cli",
    "authenticated": True,
    "avatar_url": "https://avatars.example/u/583231",
    "cksum": CKSUM,
    "created_at": TIME,
    "created_at_utc": TIME,
    "csrf_token": f"x07c_{DIGITS}",
    "description": "Says hello.",
    "details": "Every greeting is cut after 80 bytes.",
    "commit": "6dcb09b5b57875f334f61aebed695e2e4193db5e",
    "data": {"package": "hello", "version": "0.1.0"},
    "dl": "https://registry.example/v1/packages/",
    "docs": "Call hello.main.",
    "ed25519_pub": "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
    "ed25519_sig": "c2lnbmF0dXJlIG9mIDY0IGJ5dGVzLCBzaG93biBoZXJlIGFzIGFuIGV4YW1wbGUgb2YgdGhlIGZvcm0uLi4uLg==",
    "email": "octo@example.org",
    "email_primary": True,
    "email_verified": True,
    "CreateTokenRequest.expires_at": TIME,
    "CreateTokenRequest.expires_in_days": 90,
    "CreateTokenRequest.packages": ["hello", "acme-*"],
    "CreateTokenResponse.packages": ["hello", "acme-*"],
    "TokenInfo.packages": ["hello", "acme-*"],
    "JudgedToken.label": "true_positive",
    "ReportedToken.type": "x07_registry_token",
    "ReportedToken.url": "https://github.example/octo/hello/blob/main/ci.log",
    "evidence_ref": "https://x07.io/evidence/hello.json",
    "expires_at": TIME,
    "AddWebhookRequest.events": ["version.published"],
    "AddWebhookRequest.url": "https://hooks.example/x07",
    "ChangeWebhookRequest.events": ["version.published"],
    "ChangeWebhookRequest.url": "https://hooks.example/x07",
    "DeliveryInfo.error": "status 500",
    "DeliveryInfo.state": "waiting",
    "DeliveryInfo.status": 500,
    "DeliveryInfo.type": "version.published",
    "WebhookInfo.events": ["version.published"],
    "WebhookInfo.state": "active",
    "WebhookInfo.url": "https://hooks.example/x07",
    "AddTrustedPublisherRequest.environment": "release",
    "AddTrustedPublisherRequest.kind": "github",
    "AddTrustedPublisherRequest.namespace": "acme",
    "AddTrustedPublisherRequest.owner": "octo",
    "AddTrustedPublisherRequest.project": "hello",
    "AddTrustedPublisherRequest.repository": "hello",
    "AddTrustedPublisherRequest.workflow": "release.yml",
    "TrustedIssuer.kind": "github",
    "TrustedPublisher.kind": "github",
    "TrustedPublisher.state": "active",
    "active": True,
    "added_by": "octo",
    "attempts": 3,
    "audience": "https://registry.example",
    "environment": "release",
    "jwt": "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL3Rva2VuLmFjdGlvbnMuZXhhbXBsZSJ9.c2lnbmF0dXJl",
    "trusted_publishing_only": True,
    "facets": ["archetype:cli"],
    "failing_since": None,
    "failure": None,
    "github_login": "octo",
    "github_user_id": 583231,
    "handle": "octo",
    "id": EXAMPLE_UUID,
    "index_path": "/index/he/ll/hello",
    "is_admin": False,
    "is_official": False,
    "issuer": "https://token.actions.example",
    "key_id": "key-2026-01",
    "label": "ci",
    "last_attempt_at": TIME,
    "last_used_at": TIME,
    "latest": VERSION,
    "latest_version": VERSION,
    "license": "MIT",
    "limit": 20,
    "message_id": EXAMPLE_UUID,
    "meta": {"x07c_compat": ">=0.1.111 <0.3.0"},
    "module_root": "modules",
    "modules": ["hello.main"],
    "modules_count": 1,
    "name": NAME,
    "next_attempt_at": TIME,
    "of_all": False,
    "offset": 0,
    "ok": True,
    "owner": "octo",
    "owners": ["octo"],
    "package": NAME,
    "package_count": 1,
    "previous_secret_until": None,
    "profile_url": "https://github.example/octo",
    "published_at": TIME,
    "q": "hel",
    "repository": "octo/hello",
    "revoked_at": None,
    "rotate_secret": False,
    "run": "1658821493",
    "scale_classes_supported": ["small-team"],
    "scale_test_evidence_ref": "https://x07.io/evidence/hello.json",
    "scale_tested": True,
    "scopes": ["owner.manage", "publish", "token.manage"],
    "secret": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    "severity": "high",
    "summary": "Greetings are cut short.",
    "token": f"{TOKEN_PREFIX}{DIGITS}",
    "token_id": EXAMPLE_UUID,
    "token_raw": f"{TOKEN_PREFIX}{DIGITS}",
    "token_type": "x07_registry_token",
    "total": 1,
    "url": "https://x07.io/advisories/1",
    "user_id": EXAMPLE_UUID,
    "verified-namespaces": ["ext", "x07"],
    "version": VERSION,
    "withdrawn_at_utc": TIME,
    "workflow": ".github/workflows/release.yml",
    "yanked": True,
}
"""Examples of fields by `Model.field`, or else by `field`."""

PARAMETERS: Final[dict[str, Any]] = {
    "code": "3c1f5d2a9b",
    "error": "access_denied",
    "error_description": "The user has denied your application access.",
    "first": "he",
    "github-public-key-identifier": DIGITS,
    "github-public-key-signature": "MEUCIQDMHK2ZWvB5h4nYB0uN3gPZV1zB1pS8cGm1Nd3t7wIgQ4xI2bq9w0m5nJf8s3cF1kR7",
    "handle": "octo",
    "id": EXAMPLE_UUID,
    "if-none-match": ETAG,
    "index": "000",
    "length": "2",
    "level": "0",
    "limit": 20,
    "name": NAME,
    "next": "/tokens",
    "offset": 0,
    "origin": "https://x07.io",
    "pattern": "acme-*",
    "q": "hel",
    "range": "bytes=0-511",
    "scale_tested": True,
    "second": "ll",
    "state": f"x07o_{DIGITS}",
    "token_id": EXAMPLE_UUID,
    "version": VERSION,
    "x07_refresh": "1767323045123",
}
"""Examples of parameters."""

NAME_KIND: Final = Annotated[str, Meta(pattern=r"^[a-z0-9_-]+$")]
VERSION_KIND: Final = Annotated[
    str,
    Meta(
        pattern=r"^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)"
        r"(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$"
    ),
]
PATH_PARAMETERS: Final[dict[str, tuple[Any, str]]] = {
    "/v1/archetypes/{name}": (str, "An archetype, in any case."),
    "first": (str, "The first two bytes of the name; `3` for a name of three bytes."),
    "handle": (Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]+$")], "A user's handle, in any case."),
    "id": (UUID, "An id, as lists show it."),
    "index": (Annotated[str, Meta(pattern=r"^[0-9]{3}$")], "A tile's number in its level."),
    "length": (Literal["1", "2"], "How many bytes the name has."),
    "level": (
        Annotated[str, Meta(pattern=r"^(entries|[0-9]|[1-5][0-9]|6[0-3])$")],
        "A level of tiles, or `entries`.",
    ),
    "name": (NAME_KIND, "A package's name."),
    "pattern": (
        Annotated[str, Meta(pattern=r"^[a-z0-9_-]{1,128}\*?$")],
        "A name, or the beginning of names and `*`, as the registry's setting has it.",
    ),
    "second": (str, "The third and fourth byte of the name; the first of a name of three bytes."),
    "token_id": (UUID, "A token's id."),
    "version": (VERSION_KIND, "A SemVer 2.0.0 version, compared as text."),
}
"""Type and description of path parameters, by path if one means something else there, or else by name."""


def path_parameters(path: str) -> Iterator[Parameter]:
    """The parameters of a path."""
    for name in re.findall(r"{(\w+)}", path):
        kind, description = PATH_PARAMETERS.get(path) or PATH_PARAMETERS[name]
        yield Parameter(name, "path", kind, description)


HEADERS: Final[dict[str, tuple[str, str]]] = {
    "accept-ranges": ("Ranges of bytes can be asked for.", "bytes"),
    "allow": ("The methods of this path.", "GET,HEAD"),
    "cache-control": ("How long a cache may keep the answer.", "public, max-age=300"),
    "content-range": ("Which bytes these are, or how many there are.", "bytes 0-511/4096"),
    "connection": ("close: the connection ends with this answer.", "close"),
    "etag": ("A strong validator: the SHA-256 of the body, quoted.", ETAG),
    "location": ("The address to continue at.", "/index/catalog.json"),
    "retry-after": ("Seconds until another attempt may work.", "2"),
    "set-cookie": ("Gives the browser a cookie, or clears it.", "x07_session=…; Path=/; HttpOnly"),
    "surrogate-key": ("Names what changes together with the file, for an edge.", "package/hello"),
    "vary": ("What else the answer depends on.", "accept-encoding"),
    "www-authenticate": ("How to authenticate: with a token.", "Bearer"),
    "x-content-type-options": ("Browsers must not guess the type.", "nosniff"),
    "x-request-id": ("Names this request in the logs: 32 hex digits.", REQUEST_ID),
    "x-x07-index-published": ("true if readers already see the change, else false.", "true"),
    "x-x07-stale": ("true: storage could not confirm the answer.", "true"),
}
"""Description and example of response headers."""
