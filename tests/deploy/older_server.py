"""A deployment of the older server, made only from the contract (8.1 to 8.4), and its answers.

Nothing here uses the code under test: tables, statements and rendering are written from the text of the
contract, so that adoption is compared with something that does not share its mistakes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import botocore.session
from botocore.config import Config
from nacl.signing import SigningKey

from shared.settings import Settings

MANIFESTS = Path(__file__).parent.parent / "data" / "manifests.ndjson"
SEED = bytes(range(32))
TOKEN, REVOKED, SESSION = "x07t_old", "x07t_revoked", "x07s_old"
MOMENT = "2025-01-02T03:04:05.123456Z"

TABLES = """
CREATE TABLE _sqlx_migrations (version bigint PRIMARY KEY, description text NOT NULL,
    installed_on timestamptz NOT NULL DEFAULT now(), success boolean NOT NULL, checksum bytea NOT NULL,
    execution_time bigint NOT NULL);
CREATE TABLE users (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), handle text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(), created_via text NOT NULL DEFAULT 'bootstrap'
        CONSTRAINT users_created_via_check CHECK (created_via IN ('bootstrap', 'github')),
    github_user_id bigint, github_login text, github_avatar_url text, github_profile_url text,
    github_email text, github_email_verified boolean NOT NULL DEFAULT false,
    github_email_primary boolean NOT NULL DEFAULT false);
CREATE UNIQUE INDEX users_github_user_id_uq ON users (github_user_id) WHERE github_user_id IS NOT NULL;
CREATE TABLE tokens (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE, token_hash text NOT NULL UNIQUE,
    label text NOT NULL DEFAULT '', scopes text[] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(), last_used_at timestamptz, revoked_at timestamptz);
CREATE INDEX tokens_user_id_created_at_idx ON tokens (user_id, created_at DESC);
CREATE TABLE packages (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(), created_by uuid NOT NULL REFERENCES users,
    latest_version text);
CREATE TABLE package_owners (package_id uuid NOT NULL REFERENCES packages ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (package_id, user_id));
CREATE TABLE package_versions (package_id uuid NOT NULL REFERENCES packages ON DELETE CASCADE,
    version text NOT NULL, cksum text NOT NULL, yanked boolean NOT NULL DEFAULT false,
    manifest jsonb NOT NULL, published_at timestamptz NOT NULL DEFAULT now(),
    published_by uuid NOT NULL REFERENCES users, scale_classes_supported text[] NOT NULL DEFAULT '{}',
    scale_tested boolean NOT NULL DEFAULT false, scale_test_evidence_ref text, signature_kind text,
    signature_key_id text, signature_bytes bytea, PRIMARY KEY (package_id, version));
CREATE INDEX package_versions_package_id_published_at_idx
    ON package_versions (package_id, published_at DESC);
CREATE INDEX package_versions_scale_tested_true_idx ON package_versions (scale_tested)
    WHERE scale_tested = true;
CREATE TABLE audit_events (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(), actor_user_id uuid REFERENCES users,
    actor_token_id uuid REFERENCES tokens, action text NOT NULL, package_name text, package_version text,
    details jsonb NOT NULL DEFAULT '{}');
CREATE INDEX audit_events_actor_user_id_created_at_idx ON audit_events (actor_user_id, created_at DESC);
CREATE TABLE web_sessions (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE, session_token_hash text NOT NULL UNIQUE,
    csrf_token text NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(), expires_at timestamptz NOT NULL);
CREATE INDEX web_sessions_user_id_idx ON web_sessions (user_id);
CREATE INDEX web_sessions_expires_at_idx ON web_sessions (expires_at);
CREATE TABLE oauth_states (state text PRIMARY KEY, next_url text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(), expires_at timestamptz NOT NULL);
CREATE INDEX oauth_states_expires_at_idx ON oauth_states (expires_at);
CREATE TABLE package_version_advisories (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    package_id uuid NOT NULL REFERENCES packages ON DELETE CASCADE, version text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('broken', 'security', 'deprecated')),
    severity text NOT NULL CHECK (severity IN ('low', 'medium', 'high', 'critical')),
    summary text NOT NULL, details text NOT NULL DEFAULT '', url text,
    created_at timestamptz NOT NULL DEFAULT now(), created_by uuid REFERENCES users,
    withdrawn_at timestamptz, withdrawn_by uuid REFERENCES users,
    FOREIGN KEY (package_id, version) REFERENCES package_versions ON DELETE CASCADE);
CREATE INDEX package_version_advisories_package_id_version_idx
    ON package_version_advisories (package_id, version);
CREATE INDEX package_version_advisories_package_id_withdrawn_at_idx
    ON package_version_advisories (package_id, withdrawn_at);
INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES
    (1, 'init', true, sha384('1'), 1), (2, 'github oauth', true, sha384('2'), 1),
    (3, 'pkg advisories', true, sha384('3'), 1), (4, 'scale metadata', true, sha384('4'), 1),
    (5, 'pkg signatures', true, sha384('5'), 1);
"""


def _oldest_manifests() -> Iterator[dict[str, Any]]:
    """The first two of each package: the oldest lack fields that are required today."""
    seen: Counter[str] = Counter()
    for line in MANIFESTS.read_text().splitlines():
        manifest = json.loads(line)
        seen[manifest["name"]] += 1
        if seen[manifest["name"]] <= 2:
            yield manifest


def archive_of(name: str, version: str) -> bytes:
    """The uploaded bytes; nobody has to be able to read them any more."""
    return f"archive of {name} {version}\n".encode() * 40


class OlderServer:
    """The older server as others see it: its statements, its objects, its answers."""

    def __init__(self, connection: asyncpg.Connection, settings: Settings) -> None:
        self.sql = connection
        self._put = _object_writer(settings)

    async def install(self) -> None:
        """Create the deployment: users, and every package of the real manifests."""
        await self.sql.execute(TABLES)
        for handle in ("alice", "webodik"):
            await self.sql.execute(
                "INSERT INTO users (handle, github_email_verified) VALUES ($1, true)", handle
            )
        for secret, is_revoked in ((TOKEN, False), (REVOKED, True)):
            await self.sql.execute(
                "INSERT INTO tokens (user_id, token_hash, label, scopes, revoked_at) SELECT id, $1, 'ci', "
                "'{publish,owner.manage}', CASE WHEN $2 THEN now() END FROM users WHERE handle = 'alice'",
                _sha256(secret.encode()),
                is_revoked,
            )
        await self.sql.execute(
            "INSERT INTO web_sessions (user_id, session_token_hash, csrf_token, expires_at) "
            "SELECT id, $1, 'csrf', now() + interval '1 day' FROM users WHERE handle = 'alice'",
            _sha256(SESSION.encode()),
        )
        for manifest in _oldest_manifests():
            await self.publish(manifest["name"], manifest["version"], manifest)
        await self.publish("odd", "not-semver", {"name": "odd", "description": 'no "version" \u2028 here'})
        await self.publish("odd", "0.2.0-rc.1", {"name": "odd", "docs": None, "modules": ["a"]})
        await self.publish("listed", "1.0.0", ["x07.package@0.1.0", "listed", "taken as a manifest there"])
        await self.publish("x07-ext-db-postgres-s3", "1.0.0", {"meta": {"runtimes": [" Native-Http "]}})
        await self._mark()
        self._put("dl/odd/9.9.9/download", b"an orphan of a publish that failed")

    async def publish(self, name: str, version: str, manifest: Any, *, signed: bool = True) -> None:
        """One publish with lock, rows and object, in the older server's order."""
        body = archive_of(name, version)
        async with self.sql.transaction():
            await self.lock(name)
            await self.insert(name, version, manifest, signed=signed)
            self._put(f"dl/{name}/{version}/download", body)

    async def insert(self, name: str, version: str, manifest: Any, *, signed: bool = True) -> None:
        """The rows of a publish by alice."""
        cksum = _sha256(archive_of(name, version))
        signature = (
            SigningKey(SEED)
            .sign(f"x07.pkg.sig.v1\nname={name}\nversion={version}\nsha256={cksum}\n".encode())
            .signature
            if signed
            else None
        )
        await self.sql.execute(
            "INSERT INTO packages (name, created_by) SELECT $1, id FROM users WHERE handle = 'alice' "
            "ON CONFLICT DO NOTHING",
            name,
        )
        await self.sql.execute(
            "INSERT INTO package_owners (package_id, user_id) SELECT p.id, p.created_by FROM packages p "
            "WHERE name = $1 ON CONFLICT DO NOTHING",
            name,
        )
        await self.sql.execute(
            "INSERT INTO package_versions (package_id, version, cksum, manifest, published_by, "
            "signature_kind, signature_key_id, signature_bytes) "
            "SELECT id, $2, $3, $4, created_by, $5, $6, $7 FROM packages WHERE name = $1",
            name,
            version,
            cksum,
            json.dumps(manifest),
            "ed25519" if signed else None,
            " key-2026-01 " if signed else None,
            signature,
        )
        await self._set_latest(name)

    async def yank(self, name: str, version: str) -> None:
        """Yank a version; the latest falls back."""
        async with self.sql.transaction():
            await self.lock(name)
            await self.sql.execute(
                "UPDATE package_versions v SET yanked = true FROM packages p "
                "WHERE p.id = v.package_id AND p.name = $1 AND v.version = $2",
                name,
                version,
            )
            await self._set_latest(name)

    async def _mark(self) -> None:
        """Add yanks, advisories, an official owner, and old rows without a signature."""
        await self.yank("ext-base64-rs", "0.1.0")
        await self.yank("odd", "0.2.0-rc.1")
        await self.sql.execute(
            "UPDATE package_versions SET signature_kind = NULL, signature_key_id = NULL, "
            "signature_bytes = NULL WHERE version = '0.1.0'"
        )
        await self.sql.execute(
            "INSERT INTO package_owners (package_id, user_id) SELECT p.id, u.id FROM packages p, users u "
            "WHERE p.name = 'ext-base64-rs' AND u.handle = 'webodik'"
        )
        for number, (kind, details, url, is_withdrawn) in enumerate(
            [
                ("security", "", "https://x07.io/a", False),
                ("broken", "why — é", None, False),
                ("deprecated", "", None, True),
            ]
        ):
            await self.sql.execute(
                "INSERT INTO package_version_advisories (id, package_id, version, kind, severity, summary, "
                "details, url, created_at, withdrawn_at) "
                "SELECT $1, id, '0.1.0', $2, 'high', 'Say \"no\"', $3, $4, $5::text::timestamptz, "
                "CASE WHEN $6 THEN now() END FROM packages WHERE name = 'ext-base64-rs'",
                f"00000000-0000-4000-8000-00000000000{number}",
                kind,
                details,
                url,
                MOMENT,
                is_withdrawn,
            )

    async def lock(self, name: str) -> None:
        """Lock the package against all other writers until the transaction ends (8.3)."""
        key = int.from_bytes(hashlib.sha256(b"x07-registry:package:" + name.encode()).digest()[:8], "big")
        await self.sql.execute("SELECT pg_advisory_xact_lock($1)", key - (1 << 64) * (key >> 63))

    async def _set_latest(self, name: str) -> None:
        rows = await self.sql.fetch(
            "SELECT v.version FROM package_versions v JOIN packages p ON p.id = v.package_id "
            "WHERE p.name = $1 AND NOT v.yanked",
            name,
        )
        parsed = [row["version"] for row in rows if _order(row["version"])[0] == 0]
        latest = max(parsed, key=_order, default=None)
        await self.sql.execute("UPDATE packages SET latest_version = $2 WHERE name = $1", name, latest)

    async def names(self) -> list[str]:
        """Every package with a version, in byte order."""
        rows = await self.sql.fetch('SELECT name FROM packages ORDER BY name COLLATE "C"')
        return [row["name"] for row in rows]

    async def index_file(self, name: str) -> bytes:
        """The index file as the contract describes it (3.5)."""
        rows = await self.sql.fetch(
            "SELECT v.* FROM package_versions v JOIN packages p ON p.id = v.package_id WHERE p.name = $1",
            name,
        )
        lines = [await self._line(name, row) for row in sorted(rows, key=lambda row: _order(row["version"]))]
        return b"".join(_compact(line) + b"\n" for line in lines)

    async def _line(self, name: str, row: asyncpg.Record) -> dict[str, Any]:
        manifest = _object(row["manifest"])
        line = {"schema_version": "x07.index-entry@0.1.0", "name": name, "version": row["version"]}
        line |= {"cksum": row["cksum"], "yanked": row["yanked"]}
        line |= {key: manifest[key] for key in ("description", "docs") if manifest.get(key) is not None}
        if row["signature_kind"] is not None:
            line["signature"] = {
                "kind": "ed25519",
                "key_id": row["signature_key_id"].strip(),
                "ed25519_sig": base64.b64encode(row["signature_bytes"]).decode(),
            }
        advisories = await self.sql.fetch(
            "SELECT * FROM package_version_advisories WHERE package_id = $1 AND version = $2 "
            "AND withdrawn_at IS NULL ORDER BY created_at, id",
            row["package_id"],
            row["version"],
        )
        if advisories:
            line["advisories"] = [_advisory(name, row["version"], advisory) for advisory in advisories]
        return line

    async def catalog(self) -> bytes:
        """The catalog as the contract describes it (3.4)."""
        rows = await self.sql.fetch(
            "SELECT p.name, p.latest_version, v.manifest, EXISTS (SELECT 1 FROM package_owners o "
            "JOIN users u ON u.id = o.user_id "
            "WHERE o.package_id = p.id AND u.handle = 'webodik') AS official "
            "FROM packages p LEFT JOIN package_versions v "
            'ON v.package_id = p.id AND v.version = p.latest_version ORDER BY p.name COLLATE "C"'
        )
        packages = []
        for row in rows:
            manifest = _object(row["manifest"] or "{}")
            package: dict[str, Any] = {"name": row["name"], "is_official": row["official"]}
            if row["latest_version"] is not None:
                package["latest"] = row["latest_version"]
            package |= {
                key: manifest[key] for key in ("description", "docs") if manifest.get(key) is not None
            }
            if facets := _facets(row["name"], manifest.get("meta") or {}):
                package["facets"] = facets
            packages.append(package)
        return _compact({"schema_version": "x07.index-catalog@0.1.0", "packages": packages}) + b"\n"


def _advisory(name: str, version: str, row: asyncpg.Record) -> dict[str, Any]:
    advisory = {"schema_version": "x07.pkg.advisory@0.1.0", "id": str(row["id"]), "package": name}
    advisory |= {"version": version, "kind": row["kind"], "severity": row["severity"]}
    advisory |= {"summary": row["summary"]}
    advisory |= {key: row[key] for key in ("url", "details") if row[key]}
    return advisory | {"created_at_utc": MOMENT}


def _object(text: str) -> dict[str, Any]:
    """A stored manifest; in one that is an array, no field is found by name (section 11, 34)."""
    value = json.loads(text)
    return value if isinstance(value, dict) else {}


def _facets(name: str, meta: dict[str, Any]) -> list[str]:
    families = {"db": "database", "msg": "messaging", "obj": "object-store"}
    facets = {
        f"capability:{capability}"
        for family, capability in families.items()
        if re.match(rf"(x07-)?ext-{family}-", name)
    }
    facets |= {f"binding:{word}" for word in ("postgres", "redis", "sqlite", "amqp", "s3") if word in name}
    for key, prefix in (("facets", ""), ("archetype", "archetype:"), ("binding", "binding:")):
        facets |= {prefix + value for value in _words(meta, key)}
    for key, prefix in (("runtime", "runtime:"), ("trust_profile", "trust:"), ("capability", "capability:")):
        facets |= {prefix + value for value in _words(meta, key)}
    return sorted(facets)


def _words(meta: dict[str, Any], key: str) -> set[str]:
    """Values under a key and its plural; `capability` has an irregular one."""
    plural = "capabilities" if key == "capability" else f"{key}s"
    values: list[Any] = []
    for name in {key, key if key == "facets" else plural}:
        value = meta.get(name)
        values += value if isinstance(value, list) else [value]
    return {value.strip().lower() for value in values if isinstance(value, str) and value.strip()}


def _order(version: str) -> tuple[Any, ...]:
    """SemVer order, as far as these versions need it: pre-releases below releases, other text last."""
    match = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)(-[0-9A-Za-z.-]+)?", version)
    if match is None:
        return (1, version)
    return (0, *(int(match[part]) for part in (1, 2, 3)), match[4] is None, match[4] or "")


def _compact(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _object_writer(settings: Settings) -> Callable[[str, bytes], None]:
    """Writes objects like the older server: in place, without extended attributes (8.4)."""
    if settings.stores_files:

        def write(key: str, body: bytes) -> None:
            path = settings.data_dir / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)

        return write
    secret = settings.s3_secret_access_key
    assert secret is not None
    client = botocore.session.get_session().create_client(
        "s3",
        region_name=settings.s3_region,
        endpoint_url=settings.s3_endpoint,
        aws_access_key_id=settings.s3_access_key_id,
        aws_secret_access_key=secret.get_secret_value(),
        config=Config(s3={"addressing_style": "path"}),
    )

    def put(key: str, body: bytes) -> None:
        where = {"Bucket": settings.s3_bucket, "Key": f"{settings.s3_prefix}{key}"}
        client.put_object(**where, Body=body, ContentType="application/octet-stream")

    return put
