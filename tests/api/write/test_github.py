"""The GitHub client: PKCE as in the RFC's example, and calls limited in time."""

from __future__ import annotations

import asyncio
import re

import pytest

from api.write.github import Github, code_challenge, new_code_verifier, open_github
from shared.settings import Settings
from shared.sign_in_errors import OauthTokenRequestFailed
from tests.github_server import CLIENT_ID, CLIENT_SECRET


def test_the_challenge_is_that_of_the_rfc() -> None:
    """RFC 7636, appendix B."""
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert code_challenge(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_verifiers_are_of_the_shape_of_the_rfc_and_differ() -> None:
    """RFC 7636, 4.1: 43 to 128 unreserved characters."""
    verifiers = {new_code_verifier() for _ in range(100)}
    assert len(verifiers) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9._~-]{43}", verifier) for verifier in verifiers)


def test_there_is_no_client_without_an_application() -> None:
    """Sign-in is then disabled."""
    assert open_github(Settings()) is None


async def test_a_github_that_does_not_answer_is_given_up() -> None:
    """The timeout applies to the whole call, even if bytes trickle in."""

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        try:
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.02)
        except ConnectionError:
            writer.close()

    async with await asyncio.start_server(trickle, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        settings = Settings(
            github_client_id=CLIENT_ID,
            github_client_secret=CLIENT_SECRET,
            github_authorize_base=f"http://127.0.0.1:{port}",
        )
        github = Github(settings, CLIENT_SECRET, timeout_s=0.2)
        try:
            async with asyncio.timeout(60):
                with pytest.raises(OauthTokenRequestFailed):
                    await github.profile("code", "verifier")
        finally:
            await github.close()
