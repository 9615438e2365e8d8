"""Renders the OpenAPI document as a page that needs no script. Pure: the document's bytes to bytes.

In browsers that run scripts, Swagger UI takes the place of the list.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from markupsafe import Markup

from indexer.pages.api_viewer import viewer_files
from indexer.pages.docs_text import render_docs
from shared.http.service import OPENAPI_PATH
from shared.pages.rendering import render_page
from shared.pages.site import Site

METHODS: Final = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. text: HTML. scopes: of a token that it needs, empty if it needs none.

    request, response: examples of the bodies as JSON, empty without one. statuses: with their meanings.
    """

    tag: str
    method: str
    path: str
    text: Markup
    parameters: Sequence[Mapping[str, Any]]
    needs_token: bool
    scopes: str
    request: str
    response: str
    statuses: str


@lru_cache(maxsize=4)
def render_api_html(site: Site, document: bytes) -> bytes:
    """The page. document: of the release, as /openapi/openapi.json has it."""
    parsed = json.loads(document)
    operations = list(_operations(parsed))
    tags = [(tag["name"], [each for each in operations if each.tag == tag["name"]]) for tag in parsed["tags"]]
    return render_page(
        "api.html",
        site,
        release=parsed["info"]["version"],
        text=render_docs(parsed["info"]["description"]),
        tags=[(tag, found) for tag, found in tags if found],
        viewer=[site.root + path for path in viewer_files()],
        document=site.root + OPENAPI_PATH,
    )


def _operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method in METHODS:
            if method in methods:
                yield _operation(document, path, method, methods[method])


def _operation(document: Mapping[str, Any], path: str, method: str, found: Mapping[str, Any]) -> Operation:
    responses: Mapping[str, Any] = found["responses"]
    success = next((status for status in responses if status.startswith("2")), None)
    security: Sequence[Mapping[str, Sequence[str]]] = found.get("security", ())
    summary, description = found.get("summary", ""), found.get("description", "")
    return Operation(
        tag=found["tags"][0],
        method=method.upper(),
        path=path,
        text=render_docs(description if description.startswith(summary) else f"{summary}\n\n{description}"),
        parameters=[_resolved(document, each) for each in found.get("parameters", ())],
        needs_token=bool(security) and {} not in security,
        scopes=", ".join(sorted({scope for way in security for scope in way.get("token", ())})),
        request=_example(_resolved(document, found.get("requestBody", {}))),
        response="" if success is None else _example(_resolved(document, responses[success])),
        statuses=", ".join(sorted(responses)),
    )


def _resolved(document: Mapping[str, Any], value: Mapping[str, Any]) -> Mapping[str, Any]:
    """The value, or what its $ref names."""
    if "$ref" not in value:
        return value
    found: Any = document
    for step in value["$ref"].removeprefix("#/").split("/"):
        found = found[step.replace("~1", "/").replace("~0", "~")]
    return _resolved(document, found)


def _example(body: Mapping[str, Any]) -> str:
    """The first example of a JSON body, indented."""
    example = body.get("content", {}).get("application/json", {}).get("example")
    return "" if example is None else json.dumps(example, ensure_ascii=False, indent=2)
