"""The OpenAPI document: valid, complete, made from the declarations; every example fits its schema."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from api.write.endpoint import Auth
from api.write.routes import ALL_ENDPOINTS
from deploy.openapi.__main__ import DOCUMENT, main
from deploy.openapi.document import render_document
from shared import errors

TEXT = render_document()
API: dict[str, Any] = msgspec.json.decode(TEXT)
HERE = "urn:api"
RESOLVER = Registry().with_resource(HERE, Resource.from_contents(API, default_specification=DRAFT202012))
# The worker's errors, and errors whose answers always have another error's form.
NO_ANSWERS = {"X07REG_LOG_DIVERGED"}
# The contract's table (section 2), without the paths that end in a rest: templates describe the index tree.
CONTRACT = """
GET / /healthz /openapi /openapi/openapi.json /index /index/ /index/config.json /config.json /catalog.json
GET /v1/auth/github/start /v1/auth/github/callback /v1/auth/session /v1/account /v1/archetypes
GET /v1/archetypes/{name} /v1/search /v1/tokens /v1/packages/{name} /v1/packages/{name}/owners
GET /v1/packages/{name}/{version}/metadata /v1/packages/{name}/{version}/download
GET /v1/packages/{name}/{version}/advisories /index/{length}/{name} /index/{first}/{second}/{name}
GET /{length}/{name} /{first}/{second}/{name} /index/catalog.json
POST /v1/auth/token /v1/auth/logout /v1/tokens /v1/tokens/{token_id}/revoke /v1/packages/publish
POST /v1/packages/{name}/owners /v1/packages/{name}/{version}/yank
POST /v1/packages/{name}/{version}/advisories /v1/packages/{name}/{version}/advisories/{id}/withdraw
POST /v1/packs/{name}/versions/{version}/scale-evidence
DELETE /v1/packages/{name}/owners/{handle}
"""


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and operation."""
    for path, item in API["paths"].items():
        for method in item.keys() & {"get", "post", "delete"}:
            yield path, method, item[method]


def followed(value: dict[str, Any]) -> dict[str, Any]:
    """The target of a reference within the document; any other value as it is."""
    if "$ref" not in value:
        return value
    found: Any = API
    for key in value["$ref"].removeprefix("#/").split("/"):
        found = found[key]
    return found


def with_examples(value: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Place, schema and example of everything in the document that has both."""
    if isinstance(value, list):
        for position, item in enumerate(value):
            yield from with_examples(item, f"{path}/{position}")
    if isinstance(value, dict):
        if "schema" in value and "example" in value:
            yield path, value["schema"], value["example"]
        for name, example in value.get("examples", {}).items() if "schema" in value else ():
            if "value" in followed(example):
                yield f"{path}/{name}", value["schema"], followed(example)["value"]
        for key, item in value.items():
            if key not in ("example", "value"):
                yield from with_examples(item, f"{path}/{key}")


def test_the_document_in_the_tree_is_the_one_of_the_code() -> None:
    """Clients rely on it; `make openapi` writes it."""
    assert DOCUMENT.read_bytes() == TEXT


def test_a_stale_document_fails_the_check(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """`make check` must notice it."""
    stale = tmp_path / "openapi.json"
    stale.write_bytes(TEXT.replace(b"Yank or restore", b"Yank"))
    monkeypatch.setattr("deploy.openapi.__main__.DOCUMENT", stale)
    assert main(["--check"]) == 1
    assert "make openapi" in capsys.readouterr().err
    assert main([]) == 0
    assert main(["--check"]) == 0


def test_the_document_is_valid() -> None:
    """By the schema of OpenAPI 3.1, names of operations unique."""
    validate(API)


# What the older server does not have (docs/auth.md, docs/publishing.md).
SINCE_THEN = {
    ("/v1/secret-scanning/github", "post"),
    ("/v1/packages/{name}/trusted-publishers", "get"),
    ("/v1/packages/{name}/trusted-publishers", "post"),
    ("/v1/packages/{name}/trusted-publishers/{id}", "delete"),
    ("/v1/trusted-publishing", "get"),
    ("/v1/trusted-publishing/tokens", "post"),
    ("/v1/trusted-publishing/tokens", "delete"),
    ("/v1/webhooks", "get"),
    ("/v1/webhooks", "post"),
    ("/v1/webhooks/{id}", "delete"),
    ("/v1/webhooks/{id}/test", "post"),
    ("/v1/webhooks/{id}/deliveries", "get"),
}


def test_every_line_of_the_contracts_table_is_an_operation() -> None:
    """Everything that clients call is documented."""
    lines = [line.split() for line in CONTRACT.strip().splitlines()]
    table = {(path, method.lower()) for method, *paths in lines for path in paths}
    ours = {("/readyz", "get"), ("/v1/packages/{name}/dependents", "get")}
    ours |= {("/index/private/{pattern}/catalog.json", "get")}
    ours |= {("/log/checkpoint", "get"), ("/log/tile/{level}/{index}", "get")}
    of_versions = ("{version}/download", "{version}/metadata", "{version}/advisories")
    ours |= {(f"/dl/{{name}}/{path}", "get") for path in ("package", "owners", *of_versions)}
    assert {(path, method) for path, method, _ in operations()} == table | ours | SINCE_THEN


def test_every_example_meets_its_schema() -> None:
    """An example that a client could not receive or send would mislead."""
    found = list(with_examples(API))
    assert len(found) > 100
    for path, schema, example in found:
        anchored = re.sub(r'"\$ref":"#', f'"$ref":"{HERE}#', msgspec.json.encode(schema).decode())
        validator = Draft202012Validator(msgspec.json.decode(anchored), registry=RESOLVER)
        assert not list(validator.iter_errors(example)), path


def test_everything_has_an_example() -> None:
    """Parameters, request bodies and response bodies."""
    for path, method, operation in operations():
        where = f"{method} {path}"
        assert all("example" in parameter for parameter in operation.get("parameters", ())), where
        answers = [followed(answer) for answer in operation["responses"].values()]
        for holder in [*answers, operation.get("requestBody", {})]:
            for media in holder.get("content", {}).values():
                assert media.keys() & {"example", "examples"}, where
            assert all("example" in followed(header) for header in holder.get("headers", {}).values())


def test_every_error_code_is_an_answer_of_some_operation() -> None:
    """Each code has the same status everywhere."""
    listed: dict[str, set[str]] = {}
    for _, _, operation in operations():
        for status, answer in operation["responses"].items():
            for media in followed(answer).get("content", {}).values():
                for code in media.get("examples", {}):
                    listed.setdefault(code, set()).add(status)
    expected = {error.code: {str(error.status)} for error in all_errors(errors.RegistryError)}
    assert {code: expected[code] for code in expected.keys() - NO_ANSWERS} == {
        code: statuses for code, statuses in listed.items() if code in expected
    }


def all_errors(base: type[errors.RegistryError]) -> Iterator[type[errors.RegistryError]]:
    """The domain's errors."""
    yield base
    for subclass in base.__subclasses__():
        if subclass.__module__.startswith("shared."):
            yield from all_errors(subclass)


def test_what_needs_a_credential_says_which() -> None:
    """The document follows the same declarations as the application."""
    for endpoint in ALL_ENDPOINTS:
        operation = API["paths"][endpoint.path][endpoint.method.lower()]
        schemes = [set(alternative) for alternative in operation["security"] if alternative]
        expected = {
            Auth.NONE: [{"session"}] if endpoint.may_have_session else [],
            Auth.TOKEN: [{"token"}],
            Auth.SESSION: [{"session", "csrf"}],
            Auth.EITHER: [{"token"}, {"session", "csrf"} if endpoint.method != "GET" else {"session"}],
        }
        shown = [{"token"}, {"session"}] if endpoint.shows_packages else expected[endpoint.auth]
        assert schemes == shown, endpoint.path


def test_reads_take_a_token_and_reports_a_signature() -> None:
    """A private registry requires the token; a report of leaked tokens is nothing without its two headers."""
    for path in ("/index/catalog.json", "/v1/packages/{name}/{version}/download", "/log/checkpoint"):
        operation = API["paths"][path]["get"]
        assert operation["security"] == [{}, {"token": ["read"]}], path
        assert any(status == "401" for status in operation["responses"]), path
    report = API["paths"]["/v1/secret-scanning/github"]["post"]
    named = {parameter["name"] for parameter in report["parameters"] if parameter["in"] == "header"}
    assert named == {"github-public-key-identifier", "github-public-key-signature"}
