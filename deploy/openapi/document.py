"""Renders operations as an OpenAPI 3.1 document. Pure: the same declarations give the same bytes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from api.write.credentials import SESSION_COOKIE, TOKEN_PREFIX
from api.write.csrf import CSRF_HEADER
from api.write.routes import ALL_ENDPOINTS
from deploy.openapi.models import REF, Json, example_of, schemas_of
from deploy.openapi.operation import Answer, Operation, Parameter
from deploy.openapi.read_operations import read_operations
from deploy.openapi.vocabulary import HEADERS, PARAMETERS, REQUEST_ID
from deploy.openapi.write_operations import operation_of
from indexer.entry import IndexEntry
from shared.blobs import JSON_TYPE, NDJSON_TYPE
from shared.errors import BadRequest, RegistryError
from shared.http.error_response import ErrorBody, error_headers
from shared.version import VERSION

ABOUT: Final = """\
The package registry for the x07 language.

HEAD works on every GET route: the same headers, no body. Every answer carries `x-request-id`. Every error
is JSON with `code` (stable), `message` (for people) and `request_id`. Unknown fields of a body and unknown
parameters of a query are ignored. Where a credential is optional, a private registry requires it
(`auth-required` in `config.json`); a public one ignores it, except for private packages, which it shows to
those who may read them. Routes without a credential ignore what is sent."""
SECURITY_SCHEMES: Final[Json] = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": f"{TOKEN_PREFIX} and 64 hex digits",
        "description": "An API token. `admin` allows changes of what others own, and implies no other scope.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": SESSION_COOKIE,
        "description": "The web session of a user who signed in with GitHub.",
    },
    "csrf": {
        "type": "apiKey",
        "in": "header",
        "name": CSRF_HEADER,
        "description": "The session's CSRF token, from GET /v1/auth/session; changes need it.",
    },
}
# Answers that the server gives before it knows a route. Their code is that of other bad requests.
HEAD_REFUSALS: Final = {414: "The request target is too long.", 431: "The request headers are too long."}
# Every other header is in each response that lists it.
SOMETIMES: Final = frozenset({"x-x07-stale"})


def operations() -> tuple[Operation, ...]:
    """Every operation of both tiers."""
    return (*map(operation_of, ALL_ENDPOINTS), *read_operations())


def render_document() -> bytes:
    """The document, indented for reviewers, with a final newline."""
    return msgspec.json.format(msgspec.json.encode(_document(operations())), indent=2) + b"\n"


def _document(all_operations: Sequence[Operation]) -> Json:
    errors = {error.code: error for operation in all_operations for error in operation.errors}
    schemas = _Schemas(all_operations)
    paths: dict[str, Json] = defaultdict(dict)
    for operation in all_operations:
        if operation.host is not None:
            paths[operation.path]["servers"] = [{"url": f"https://{operation.host}"}]
        paths[operation.path][operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "x07-registry",
            "version": VERSION,
            "description": ABOUT,
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in all_operations)],
        "paths": dict(paths),
        "components": {
            "schemas": {**schemas.components, "Error": _error_schema(errors)},
            "responses": {
                **_refusals(all_operations),
                **{str(status): _head_refusal(status) for status in HEAD_REFUSALS},
            },
            "headers": {name: _header(name) for name in HEADERS},
            "examples": {code: _error_example(error) for code, error in sorted(errors.items())},
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


class _Schemas:
    """Schemas of every model that an operation names."""

    def __init__(self, all_operations: Iterable[Operation]) -> None:
        requests, answers = [], [IndexEntry]
        for operation in all_operations:
            requests += [parameter.kind for parameter in operation.parameters]
            requests += [operation.body[1]] if operation.body and operation.body[1] else []
            answers += [answer.model for answer in operation.answers if answer.model is not None]
        asked, told, self.components = schemas_of(requests, answers)
        self._asked = list(zip(requests, asked, strict=True))
        self._told = list(zip(answers, told, strict=True))

    def of_request(self, model: Any) -> Json:
        """The schema of a body or parameter that clients send."""
        return dict(next(schema for known, schema in self._asked if known == model))

    def of_answer(self, model: Any) -> Json:
        """The schema of a body that clients receive."""
        return dict(next(schema for known, schema in self._told if known == model))


def _operation(operation: Operation, schemas: _Schemas) -> Json:
    summary, _, _ = operation.description.partition("\n")
    found: Json = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": summary,
        "description": operation.description,
    }
    if operation.parameters:
        found["parameters"] = [_parameter(parameter, schemas) for parameter in operation.parameters]
    if operation.body is not None:
        media_type, model = operation.body
        found["requestBody"] = {"required": True, "content": {media_type: _sent(model, schemas)}}
    found["responses"] = _responses(operation, schemas)
    found["security"] = [{name: list(scopes) for name, scopes in each.items()} for each in operation.security]
    return found


def _parameter(parameter: Parameter, schemas: _Schemas) -> Json:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.place == "path",
        "description": parameter.description,
        "schema": schemas.of_request(parameter.kind),
        "example": PARAMETERS[parameter.name],
    }


def _sent(model: Any, schemas: _Schemas) -> Json:
    if model is None:
        return {
            "schema": {"type": "string", "format": "binary"},
            "examples": {"archive": {"summary": "An uncompressed tar; docs/api.md shows how it is made."}},
        }
    return {"schema": schemas.of_request(model), "example": example_of(model)}


def _responses(operation: Operation, schemas: _Schemas) -> Json:
    by_status: dict[int, Json] = {
        answer.status: {
            "description": answer.description,
            "headers": _headers(answer.headers),
            **_content(operation.path, answer, schemas),
        }
        for answer in operation.answers
    }
    for status, errors in _by_status(operation).items():
        if status in by_status:
            _add_errors(by_status[status], errors)
        else:
            by_status[status] = {"$ref": f"#/components/responses/{_refusal_name(errors)}"}
    known = {str(status): by_status[status] for status in sorted(by_status)}
    return known | {str(status): {"$ref": f"#/components/responses/{status}"} for status in HEAD_REFUSALS}


_ARCHIVE: Final = {"archive": {"summary": "Bytes of the archive as it was published."}}
_TILE: Final = {"tile": {"summary": "Hashes of 32 bytes each, or entries, each behind its length."}}
_CHECKPOINT: Final = (
    "registry.x07.io\n1\nbjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=\n\n"
    "\u2014 registry.x07.io Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+"
    "zyWE+xeMcTOAYQ8=\n"
)


def _content(path: str, answer: Answer, schemas: _Schemas) -> Json:
    if answer.media_type is None:
        return {}
    if answer.model is None:
        media: Json = {
            "schema": {"type": "string", "format": "binary"},
            "examples": _TILE if path.startswith("/log/") else _ARCHIVE,
        }
    elif answer.model is str:
        line = msgspec.json.encode(example_of(IndexEntry)).decode() + "\n"
        of_text = _CHECKPOINT if path.startswith("/log/") else "ok"
        example = line if answer.media_type == NDJSON_TYPE else of_text
        media = {"schema": {"type": "string"}, "example": example}
    elif answer.model == dict[str, Any]:
        media = {"schema": {"type": "object"}, "example": {"openapi": "3.1.0"}}
    else:
        media = {"schema": schemas.of_answer(answer.model), "example": example_of(answer.model)}
    return {"content": {answer.media_type: media}}


def _by_status(operation: Operation) -> dict[int, list[type[RegistryError]]]:
    """The operation's errors, one per code; of several with one code, the first one is described."""
    found: dict[int, list[type[RegistryError]]] = defaultdict(list)
    for error in {error.code: error for error in reversed(operation.errors)}.values():
        found[error.status].insert(0, error)
    return found


def _refusals(all_operations: Iterable[Operation]) -> Json:
    """Each set of errors that an operation answers with one status, as a response by name."""
    sets = [errors for operation in all_operations for errors in _by_status(operation).values()]
    return {_refusal_name(errors): _refusal(errors) for errors in sets}


def _refusal_name(errors: Sequence[type[RegistryError]]) -> str:
    codes = ".".join(sorted(error.code.removeprefix("X07REG_") for error in errors))
    return f"{errors[0].status}.{codes}"


def _refusal(errors: Sequence[type[RegistryError]]) -> Json:
    return {
        "description": " ".join(str(error.__doc__).partition("\n")[0] for error in errors),
        "headers": _headers([name for error in errors for name in _headers_of(error)]),
        "content": {JSON_TYPE: _error_media(errors)},
    }


def _error_media(errors: Sequence[type[RegistryError]]) -> Json:
    codes = [error.code for error in errors]
    return {
        "schema": _error_of(codes),
        "examples": {code: {"$ref": f"#/components/examples/{code}"} for code in codes},
    }


def _error_of(codes: Sequence[str]) -> Json:
    """The schema of an error with one of these codes. Not beside `$ref`, where tools ignore it."""
    return {"allOf": [{"$ref": REF.format(name="Error")}, {"properties": {"code": {"enum": codes}}}]}


def _add_errors(response: Json, errors: Sequence[type[RegistryError]]) -> None:
    """Add errors to a response whose status already has a body."""
    refused, media = _error_media(errors), response["content"][JSON_TYPE]
    media["schema"] = {"anyOf": [media["schema"], refused["schema"]]}
    media["examples"] = {"body": {"value": media.pop("example")}, **refused["examples"]}


def _headers(names: Iterable[str]) -> Json:
    return {
        name: {"$ref": f"#/components/headers/{name}"} for name in dict.fromkeys((*names, "x-request-id"))
    }


def _headers_of(error: type[RegistryError]) -> list[str]:
    """The headers that an error always carries."""
    by_status = {405: ["allow"], 416: ["content-range"]}
    return [*error_headers(error()), *by_status.get(error.status, [])]


def _header(name: str) -> Json:
    description, example = HEADERS[name]
    return {
        "description": description,
        "required": name not in SOMETIMES,
        "schema": {"type": "string"},
        "example": example,
    }


def _error_schema(errors: Iterable[str]) -> Json:
    _, _, components = schemas_of([], [ErrorBody])
    schema = components["ErrorBody"]
    schema["title"] = "Error"
    schema["properties"]["code"]["enum"] = sorted(errors)
    return dict(schema)


def _error_example(error: type[RegistryError]) -> Json:
    return {"value": {"code": error.code, "message": error().message, "request_id": REQUEST_ID}}


def _head_refusal(status: int) -> Json:
    schema = _error_of([BadRequest.code])
    return {
        "description": HEAD_REFUSALS[status],
        "headers": _headers(()),
        "content": {JSON_TYPE: {"schema": schema, "example": _error_example(BadRequest)["value"]}},
    }
