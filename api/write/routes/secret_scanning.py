"""POST /v1/secret-scanning/github: tokens that GitHub found where they should not be."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.write import secret_scanning as domain
from api.write.credentials import header_text
from api.write.endpoint import Endpoints
from api.write.json_body import StoredText, read_body
from api.write.secret_scanning import MAX_REPORTED, Report, Verdict
from api.write.services import services_of
from shared.credential_errors import SignatureInvalid
from shared.errors import BadRequest, NotFound, PayloadTooLarge, UnprocessableBody

route = Endpoints()


class ReportedToken(msgspec.Struct, frozen=True, kw_only=True):
    """A text that looks like a token, with the place where it was found."""

    token: Annotated[str, msgspec.Meta(max_length=4096)]
    type: Annotated[str, msgspec.Meta(max_length=256)]
    url: Annotated[StoredText, msgspec.Meta(max_length=4096)] = ""


ReportedTokens = Annotated[tuple[ReportedToken, ...], msgspec.Meta(max_length=MAX_REPORTED)]


class JudgedToken(msgspec.Struct, frozen=True, kw_only=True):
    """A reported text. true_positive: it is a token of this registry, and is revoked now."""

    token_raw: str
    token_type: str
    label: Literal["true_positive", "false_positive"]


@route.post(
    "/v1/secret-scanning/github",
    signed=ReportedTokens,
    response=tuple[JudgedToken, ...],
    errors=(NotFound, SignatureInvalid, BadRequest, PayloadTooLarge, UnprocessableBody),
)
async def report_tokens(request: Request) -> Response:
    """Take GitHub's report of leaked tokens, and revoke those that work.

    The raw body is signed: ECDSA over P-256, in `Github-Public-Key-Signature`, by the key that
    `Github-Public-Key-Identifier` names.
    """
    services = services_of(request)
    body = await read_body(request)
    key_id = header_text(request, "github-public-key-identifier")
    signature = header_text(request, "github-public-key-signature")
    await domain.verify_report(services, key_id, signature, body)
    reports = [Report(each.token, each.type, each.url) for each in _decoded(body)]
    judged = [_judged(verdict) for verdict in await domain.take_reports(services, reports)]
    return Response(
        msgspec.json.encode(judged), media_type="application/json", headers={"cache-control": "no-store"}
    )


def _decoded(body: bytes) -> tuple[ReportedToken, ...]:
    try:
        return msgspec.json.decode(body, type=ReportedTokens)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnprocessableBody(str(error)[:300]) from None


def _judged(verdict: Verdict) -> JudgedToken:
    return JudgedToken(
        token_raw=verdict.report.token,
        token_type=verdict.report.kind,
        label="true_positive" if verdict.is_token else "false_positive",
    )
