"""Every 401 says how to authenticate, and what was wrong (RFC 9110, 11.6.1)."""

from __future__ import annotations

import httpx

from tests.archives import hello_archive
from tests.stack import Registry, bearer

SECRET = "x07t_" + "0123456789abcdef" * 4


SENT: list[tuple[str | bytes | None, str]] = [
    (None, "missing Authorization header"),
    ("Basic YTpi", "Basic is not taken here; send Authorization: Bearer and a token"),
    ("bearer x", 'the scheme is spelled "Bearer", not "bearer"'),
    ("BEARER x", 'the scheme is spelled "Bearer", not "BEARER"'),
    ("Bearer", "the Authorization header has no token after Bearer"),
    (
        "AWS4-HMAC-SHA256 x",
        "this Authorization header is not taken here; send Authorization: Bearer and a token",
    ),
    (SECRET, "this Authorization header is not taken here; send Authorization: Bearer and a token"),
    (
        f"{SECRET} x",
        "this Authorization header is not taken here; send Authorization: Bearer and a token",
    ),
    ("secretword", "this Authorization header is not taken here; send Authorization: Bearer and a token"),
    (b"Bearer \xff", "the Authorization header has no token after Bearer"),
]


async def test_a_401_says_what_was_sent(fs_registry: Registry) -> None:
    """The message has the scheme's name, unless that could be a secret."""
    for sent, message in SENT:
        headers = {} if sent is None else {"authorization": sent}
        answer = await fs_registry.http.post("/v1/packages/publish", content=hello_archive(), headers=headers)
        assert refusal(answer) == (401, "X07REG_AUTH_REQUIRED", message), sent
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_every_401_carries_a_challenge(fs_registry: Registry) -> None:
    """Unknown and revoked tokens, sessions, and routes that accept a session."""
    user_id = await fs_registry.add_user("alice")
    token = await fs_registry.add_token(user_id, "token.manage")
    await fs_registry.revoke(token)
    cookie = {"cookie": "x07_session=x07s_unknown"}
    for path, headers, code in (
        ("/v1/account", bearer("x07t_unknown"), "X07REG_AUTH_INVALID"),
        ("/v1/account", bearer(token), "X07REG_AUTH_INVALID"),
        ("/v1/tokens", {}, "X07REG_AUTH_REQUIRED"),
        ("/v1/tokens", cookie, "X07REG_AUTH_INVALID"),
    ):
        answer = await fs_registry.http.get(path, headers=headers)
        assert refusal(answer)[:2] == (401, code)
        assert answer.headers["www-authenticate"] == "Bearer"
    signed_out = await fs_registry.http.post("/v1/auth/logout")
    assert (signed_out.status_code, signed_out.headers["www-authenticate"]) == (401, "Bearer")


async def test_where_a_session_would_do_another_scheme_is_told_too(fs_registry: Registry) -> None:
    """A cookie takes precedence; without one, the message is about the header."""
    basic = {"authorization": "Basic YTpi"}
    answer = await fs_registry.http.get("/v1/tokens", headers=basic)
    assert refusal(answer)[2].startswith("Basic is not taken here")
    answer = await fs_registry.http.get("/v1/tokens", headers={**basic, "cookie": "x07_session=x07s_1"})
    assert refusal(answer) == (401, "X07REG_AUTH_INVALID", "invalid session")


def refusal(answer: httpx.Response) -> tuple[int, str, str]:
    """Status, code and message of an error."""
    return answer.status_code, answer.json()["code"], answer.json()["message"]
