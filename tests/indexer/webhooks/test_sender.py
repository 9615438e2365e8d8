"""No webhook leads inside: every way to send a worker to an address that it should not reach is refused."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from indexer.webhooks.sender import MAX_ANSWER_BYTES, Outcome, Sender
from shared.settings import Settings
from shared.webhooks import AddressRefused, check_url
from tests.receiver import ALLOWED, Receiver, answering
from tests.stack import serving

NOT_PUBLIC = "the host's address is not a public one"


@asynccontextmanager
async def sending(**settings: Any) -> AsyncIterator[Sender]:
    """A sender with these settings."""
    sender = Sender(Settings(**settings))
    try:
        yield sender
    finally:
        await sender.close()


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Has names resolve to addresses, one list after another. Returns the names that are looked up."""
    looked_up: list[str] = []

    def resolve_to(*answers: list[str]) -> list[str]:
        rest = iter(answers)

        def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
            looked_up.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in next(rest)]

        monkeypatch.setattr("indexer.webhooks.lookup.getaddrinfo", getaddrinfo)
        return looked_up

    return resolve_to


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/",
        "ftp://hooks.example/",
        "file:///etc/passwd",
        "hooks.example",
        "https://",
        "https://user:secret@hooks.example/",
        "https://hooks.example/#there",
        "https://hooks.example/\nHost: other",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://0x7f000001/",
        "https://2130706433/",
        "https://017700000001/",
        "https://0.0.0.0/",
        "https://10.1.2.3/",
        "https://172.16.0.1/",
        "https://192.168.1.1/",
        "https://100.64.0.1/",
        "https://100.100.100.200/",
        "https://169.254.169.254/latest/meta-data/",
        "https://168.63.129.16/",
        "https://192.0.0.192/",
        "https://224.0.0.1/",
        "https://255.255.255.255/",
        "https://[::1]/",
        "https://[::]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::127.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "https://[2001:0:7f00:1::]/",
        "https://[fd00:ec2::254]/",
        "https://[fe80::1]/",
        "https://[fec0::1]/",
        "https://[ff02::1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://127.0.0.1./",
        "https://\u2460\u2461\u2466.0.0.1/",
        "https://0/",
        "https://.hooks.example/",
        "https://hooks..example/",
        f"https://{'a' * 64}.example/",
        "https://hooks.example/" + "a" * 2048,
    ],
)
def test_a_url_that_leads_inside_or_is_not_https_is_refused_when_it_is_added(url: str) -> None:
    """However the address is written."""
    with pytest.raises(AddressRefused):
        check_url(url, allows_http=False, allows_private=False)


def test_a_public_url_is_taken_in_its_normal_form() -> None:
    """By name or by address, on any port."""
    for given, kept in (
        ("https://HOOKS.example", "https://hooks.example/"),
        ("https://hooks.example:8443/x07?a=b", "https://hooks.example:8443/x07?a=b"),
        ("https://hooks.example./", "https://hooks.example./"),
        ("https://1.1.1.1/", "https://1.1.1.1/"),
        ("https://[2606:4700:4700::1111]/", "https://[2606:4700:4700::1111]/"),
    ):
        assert check_url(given, allows_http=False, allows_private=False) == kept


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.7", "169.254.169.254", "::1", "::ffff:10.0.0.7", "fe80::1%eth0", "fd00::1"],
)
async def test_a_name_that_means_an_inner_address_is_not_connected_to(
    resolved: Callable[..., list[str]], address: str
) -> None:
    """Not even if another address of the name is public."""
    async with sending() as sender:
        resolved([address], ["1.1.1.1", address])
        for _ in range(2):
            assert await sender.post("https://hooks.example/", {}, b"{}") == Outcome(None, NOT_PUBLIC)


async def test_the_connection_goes_to_the_address_that_was_checked(
    resolved: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that means another address a moment later (rebinding) is looked up once."""
    connected: list[str] = []

    async def connect(_: Any, host: str, *__: Any) -> Any:
        connected.append(host)
        raise OSError("closed")

    monkeypatch.setattr("httpcore.AnyIOBackend.connect_tcp", connect)
    async with sending() as sender:
        looked_up = resolved(["93.184.216.34"], ["127.0.0.1"])
        outcome = await sender.post("https://hooks.example/", {}, b"{}")
    assert looked_up == ["hooks.example"]
    assert connected == ["93.184.216.34"]
    assert outcome.error == "OSError: closed"


async def test_name_servers_that_do_not_answer_hold_no_other_work_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A lookup cannot be ended, so lookups have threads of their own; one host takes one of them."""
    monkeypatch.setattr("indexer.webhooks.sender.TIMEOUT_S", 0.2)
    answers, looked_up = threading.Event(), []

    def getaddrinfo(host: str, *_: Any, **__: Any) -> list[Any]:
        looked_up.append(host)
        answers.wait()
        raise OSError("no such host")

    monkeypatch.setattr("indexer.webhooks.lookup.getaddrinfo", getaddrinfo)
    hosts = [f"hooks{number % 40}.example" for number in range(80)]
    try:
        async with sending() as sender:
            outcomes = await asyncio.gather(*(sender.post(f"https://{host}/", {}, b"{}") for host in hosts))
            async with asyncio.timeout(60):
                await asyncio.to_thread(lambda: "publication goes on")
    finally:
        answers.set()
    assert set(outcomes) == {Outcome(None, "no whole answer within 0 s")}
    assert sorted(looked_up) == sorted({*looked_up})


async def test_settings_that_became_stricter_hold_for_older_webhooks() -> None:
    """A stored URL is checked before each attempt."""
    receiver = Receiver()
    async with serving(receiver.app) as url, sending(webhooks_allow_http=True) as sender:
        assert await sender.post(url, {}, b"{}") == Outcome(None, NOT_PUBLIC)
    async with sending(webhooks_allow_private=True) as sender:
        outcome = await sender.post("http://127.0.0.1/", {}, b"{}")
    assert outcome.error == "the URL must begin with https://"
    assert receiver.received == []


async def test_a_redirect_is_not_followed() -> None:
    """It could lead inside."""
    inner, outer = Receiver(), Receiver()
    async with serving(inner.app) as inner.url, serving(outer.app) as outer.url, sending(**ALLOWED) as sender:
        for status in (301, 302, 303, 307, 308):
            outer.answer = answering(status, location=inner.url)
            outcome = await sender.post(outer.url, {}, b"{}")
            assert outcome == Outcome(status, "redirects are not followed")
    assert inner.received == []


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would connect to whatever the name means to it."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    receiver = Receiver()
    async with serving(receiver.app) as url, sending(**ALLOWED) as sender:
        assert await sender.post(url, {}, b"{}") == Outcome(204, None)


@asynccontextmanager
async def raw_server(answer: Callable[[asyncio.StreamWriter], Any], tls: ssl.SSLContext | None = None) -> Any:
    """A server that reads a request and then does this. Yields its port."""
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await answer(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            ended.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls) as server:
        yield server.sockets[0].getsockname()[1], ended


async def test_a_certificate_that_nobody_trusts_is_refused(tmp_path: Path) -> None:
    """Whoever sits on the way cannot read what is told."""
    own = self_signed(tmp_path)

    async def reply(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    async with raw_server(reply, own) as (port, _), sending(webhooks_allow_private=True) as sender:
        outcome = await sender.post(f"https://127.0.0.1:{port}/", {}, b"{}")
    assert outcome.error is not None
    assert "certificate verify failed" in outcome.error


def self_signed(directory: Path) -> ssl.SSLContext:
    """The context of a server whose certificate is its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    certificate = builder.sign(key, hashes.SHA256())
    path = directory / "server.pem"
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + certificate.public_bytes(Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


async def test_of_a_long_answer_only_the_beginning_is_read() -> None:
    """The status counts, and the connection is closed; no answer fills a worker's memory."""
    written = 0

    async def endless(writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + bytes(65536) + b"\r\n")
            written += 65536
            await writer.drain()

    async with raw_server(endless) as (port, ended), sending(**ALLOWED) as sender:
        assert await sender.post(f"http://127.0.0.1:{port}/", {}, b"{}") == Outcome(200, None)
        await asyncio.wait_for(ended.wait(), 30)
    assert written < 1000 * MAX_ANSWER_BYTES


async def test_an_answer_that_trickles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of 10 s is for the whole attempt, not for each byte."""
    monkeypatch.setattr("indexer.webhooks.sender.TIMEOUT_S", 1.0)

    async def trickle(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    begun = time.monotonic()
    async with raw_server(trickle) as (port, ended), sending(**ALLOWED) as sender:
        outcome = await sender.post(f"http://127.0.0.1:{port}/", {}, b"{}")
        await asyncio.wait_for(ended.wait(), 30)
    assert outcome == Outcome(None, "no whole answer within 1 s")
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize(
    "answer", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"]
)
async def test_an_answer_that_is_no_http_is_a_failure_that_is_told(answer: bytes) -> None:
    """It ends nothing else."""

    async def reply(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    async with raw_server(reply) as (port, _), sending(**ALLOWED) as sender:
        outcome = await sender.post(f"http://127.0.0.1:{port}/", {}, b"{}")
    assert outcome.status is None
    assert outcome.error is not None
    assert "ProtocolError" in outcome.error


async def test_nobody_listening_and_an_unknown_host_are_told() -> None:
    """The owner sees why."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with sending(**ALLOWED) as sender:
        refused = await sender.post(f"http://127.0.0.1:{port}/", {}, b"{}")
        unknown = await sender.post("https://nobody.invalid/", {}, b"{}")
    assert refused.error is not None
    assert refused.error.startswith("ConnectError")
    assert unknown.error is not None
    assert "address cannot be found" in unknown.error
