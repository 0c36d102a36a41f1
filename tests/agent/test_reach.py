"""How far a connection comes: the words of agent and doctor at each stage where it can end."""

import asyncio
import os
import ssl
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from support import middle_box as box
from support.certificates import LOOPBACK, Ca, Files
from support.links import QUICK, Tried
from support.middle_box import middle_box
from support.patience import PATIENCE_S

from agent.check.broker import check_brokers
from agent.check.findings import Outcome
from agent.config import AgentSettings, BrokerSettings, Settings, TlsSettings
from agent.credentials import Plaintext
from agent.credentials.opening import open_credentials
from agent.reach.reasons import reason_of
from quartet.address import Address

PATIENCE = 0.5


def patience_s(words: str) -> float:
    """How long agent and doctor wait where these are the words: a busy machine is slow at times."""
    return PATIENCE if "within 0.5 s" in words else PATIENCE_S


async def said(
    address: Address, tls: TlsSettings | None = None, patience_s: float = PATIENCE_S
) -> str:
    """What keeps an agent from streaming; the doctor says the same."""
    settings = Settings(AgentSettings("press-1"), BrokerSettings(str(address)), tls)
    waiting = msgspec.structs.replace(QUICK, reply_deadline_s=patience_s)
    async with Tried(address, open_credentials(tls), settings=waiting) as tried:
        trouble = await tried.trouble()
    (finding,) = await asyncio.to_thread(list, check_brokers(settings, patience_s, PATIENCE_S))
    assert finding.outcome is Outcome.FAILED
    assert finding.remedy
    assert finding.detail == f"{address}: {trouble}"
    return trouble


HTML = (":status", "200"), ("content-type", "text/html")
GRPC = (":status", "200"), ("content-type", "application/grpc")


async def say_a_little(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Too little to see that it is not HTTP/2."""
    writer.write(b"220 ")
    await box.say_nothing(reader, writer)


BEFORE_HTTP2 = {
    "closed at once": (box.close, "it closes the connection before HTTP/2 begins: it may"),
    "closed at the preface": (box.close_at_first_bytes, "it closes the connection before HTTP/2"),
    "reset at the preface": (box.reset_at_first_bytes, "it closes the connection before HTTP/2"),
    "mute": (box.say_nothing, "it accepts the connection, and then sends no HTTP/2 within 0.5 s"),
    "a few bytes": (say_a_little, "the connection, and then sends no HTTP/2 within 0.5 s"),
    "an alert of TLS": (box.say(bytes.fromhex("15030300020228")), "before HTTP/2 begins: it may"),
    "another protocol": (box.say(b"SSH-2.0-OpenSSH_9.2\r\n"), "what it answers is not HTTP/2"),
    "HTTP/1.1 400": (
        box.say(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
        "it answers by HTTP/1 (status 400), not HTTP/2: a web server or a proxy listens there",
    ),
}

ON_A_CONNECTION = {
    "502 with a body": (
        box.http2(box.response([(":status", "502"), ("server", "nginx")], b"<html>")),
        "HTTP status 502, which no broker sends: a proxy or another server answers",
    ),
    "404": (
        box.http2(box.response([(":status", "404")])),
        "HTTP status 404, which no broker sends: a proxy or another server answers",
    ),
    "a web page": (
        box.http2(box.response(HTML, b"<html><title>Sign in</title><body>Welcome</body></html>")),
        "the call ended without a status of gRPC, which no broker does",
    ),
    "a status by a proxy": (
        box.http2(
            box.response(
                (*GRPC, ("server", "envoy"), ("grpc-status", "14"), ("grpc-message", "no upstream"))
            )
        ),
        "UNAVAILABLE: no upstream (by way of envoy)",
    ),
    "a reset call": (
        box.http2(box.reset_call(8)),
        "the call was reset, by the broker or on the way (HTTP/2 error 8)",
    ),
    "a reply without a status": (
        box.http2(box.response(GRPC)),
        "the call ended without a status of gRPC, which no broker does",
    ),
    "a status that is no number": (
        box.http2(box.response((*GRPC, ("grpc-status", "ok")))),
        "the call ended without a status of gRPC, which no broker does",
    ),
    "a redirect": (
        box.http2(box.response([(":status", "301"), ("location", "https://login.plant")])),
        "HTTP status 301, which no broker sends: a proxy or another server answers",
    ),
    "GOAWAY": (box.http2(box.go_away(b"bye")), "the connection was closed (GOAWAY, error 0: bye)"),
}


@pytest.mark.parametrize("case", [*BEFORE_HTTP2, *ON_A_CONNECTION])
async def test_what_ends_a_connection_in_the_clear_is_told_as_what_it_is(case: str) -> None:
    script, words = (BEFORE_HTTP2 | ON_A_CONNECTION)[case]
    async with middle_box(script) as port:
        assert words in await said(Address("127.0.0.1", port), patience_s=patience_s(words))


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Ca:
    return Ca(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def files(ca: Ca) -> Files:
    return ca.broker()


def trusting(ca: Ca, own: Files | None = None) -> TlsSettings:
    shown = (str(own.certificate), str(own.key)) if own else (None, None)
    return TlsSettings(str(ca.path), *shown)


@pytest.mark.parametrize("case", ON_A_CONNECTION)
async def test_what_ends_a_call_by_tls_is_told_as_in_the_clear(
    case: str, ca: Ca, files: Files
) -> None:
    script, words = ON_A_CONNECTION[case]
    async with middle_box(script, box.context(files)) as port:
        assert words in await said(Address("127.0.0.1", port), trusting(ca), patience_s(words))


def alert(number: int) -> box.Script:
    """A fatal alert of TLS, by the number that RFC 8446 gives it."""
    return box.say(bytes.fromhex("15030300020200")[:-1] + bytes([number]))


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (box.close_at_first_bytes, "it closes the connection in the TLS handshake"),
        (box.reset_at_first_bytes, "it closes the connection in the TLS handshake"),
        (box.say_nothing, "it accepts the connection, and does not finish TLS within 0.5 s"),
        (box.say(b"SSH-2.0-OpenSSH_9.2\r\n"), "it does not use TLS: what it answers is something"),
        (box.say(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "it does not use TLS"),
        (box.say(bytes.fromhex("15030300020228")), "with the alert 'handshake failure'"),
        (box.http2(box.go_away(b"")), "it does not use TLS"),
        (alert(42), "with the alert 'bad certificate': it may require a certificate"),
        (alert(116), "with the alert 'certificate required': it may require a certificate"),
        (alert(70), "with the alert 'protocol version': it takes no TLS version or cipher of"),
        (alert(120), "'no application protocol': it uses TLS, but not with HTTP/2 (ALPN)"),
        (alert(112), "'unrecognized name': it does not know the name in broker.address"),
        (alert(80), "it ends the TLS handshake with the alert 'internal error'"),
        (alert(109), "the TLS handshake fails: 'reason(1109)'"),
    ],
)
async def test_what_ends_a_handshake_is_told_as_what_it_is(
    script: box.Script, words: str, ca: Ca
) -> None:
    async with middle_box(script) as port:
        assert words in await said(Address("127.0.0.1", port), trusting(ca), patience_s(words))


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (box.close, "right after it: it may require a certificate of this device"),
        (box.say_nothing, "it finishes the TLS handshake, and then sends no HTTP/2 within 0.5 s"),
        (box.say(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "it answers by HTTP/1 (status 400)"),
    ],
)
async def test_what_ends_a_connection_after_the_handshake_is_told_as_what_it_is(
    script: box.Script, words: str, ca: Ca, files: Files
) -> None:
    async with middle_box(script, box.context(files)) as port:
        assert words in await said(Address("127.0.0.1", port), trusting(ca), patience_s(words))


@dataclass(frozen=True)
class Shown:
    """What a broker shows, and what that of this device is."""

    context: Callable[[Ca, Path], ssl.SSLContext]
    words: str
    own: Callable[[Ca, Path], Files] | None = None


def _demanding(ca: Ca) -> ssl.SSLContext:
    return box.context(ca.broker(), client_ca=str(ca.path))


HANDSHAKES = {
    "of another authority": Shown(
        lambda _, path: box.context(Ca(path, "other").issue("x", LOOPBACK)),
        "its certificate is not signed by an authority in tls.ca",
    ),
    "for other names": Shown(
        lambda ca, _: box.context(ca.issue("elsewhere")), "its certificate is for other names"
    ),
    "for clients": Shown(
        lambda ca, _: box.context(
            ca.issue("leaf", LOOPBACK, uses=[ExtendedKeyUsageOID.CLIENT_AUTH])
        ),
        "its certificate is made for clients, not for servers",
    ),
    "expired": Shown(
        lambda ca, _: box.context(ca.issue("old", LOOPBACK, from_days=-9, days=-2)),
        "the broker's certificate has expired",
    ),
    "not yet valid": Shown(
        lambda ca, _: box.context(ca.issue("early", LOOPBACK, from_days=2)),
        "the broker's certificate is not valid yet: if the clock is wrong",
    ),
    "without HTTP/2": Shown(
        lambda ca, _: box.context(ca.broker(), alpn=()), "it uses TLS, but not with HTTP/2 (ALPN)"
    ),
    "asking for a certificate": Shown(
        lambda ca, _: _demanding(ca), "it may require a certificate of this device"
    ),
    "asking for another certificate": Shown(
        lambda ca, _: _demanding(ca),
        "it may refuse this device's certificate",
        lambda _, path: Ca(path, "other").issue("press-1"),
    ),
    "asking for a certificate of a client": Shown(
        lambda ca, _: _demanding(ca),
        "this device's certificate: made for servers, not for clients",
        lambda ca, _: ca.issue("press-1", uses=[ExtendedKeyUsageOID.SERVER_AUTH]),
    ),
    "asking for one that is valid": Shown(
        lambda ca, _: _demanding(ca),
        "this device's certificate: expired on ",
        lambda ca, _: ca.issue("press-1", from_days=-9, days=-2),
    ),
}


@pytest.mark.parametrize("case", HANDSHAKES)
async def test_which_check_of_a_certificate_failed_is_told(
    case: str, ca: Ca, tmp_path: Path
) -> None:
    shown = HANDSHAKES[case]
    own = shown.own(ca, tmp_path) if shown.own else None
    async with middle_box(box.say_nothing, shown.context(ca, tmp_path)) as port:
        assert shown.words in await said(Address("127.0.0.1", port), trusting(ca, own))


@pytest.mark.parametrize(
    ("made", "remedy"),
    [
        ({"from_days": -9, "days": -2}, "broker pki renew press-1, where the authority is"),
        ({"from_days": 2}, "timedatectl"),
        ({"uses": [ExtendedKeyUsageOID.SERVER_AUTH]}, "broker pki issue"),
        ({}, "broker pki issue"),
    ],
)
def test_a_certificate_that_may_be_refused_gets_the_one_command_that_helps(
    made: dict[str, Any], remedy: str, ca: Ca
) -> None:
    reason = open_credentials(trusting(ca, ca.issue("press-1", **made))).reason_of("Socket closed")
    assert reason
    assert remedy in reason.remedy


def test_a_check_that_has_no_words_here_is_told_in_those_of_the_library(ca: Ca) -> None:
    for end in ("", ": OK"):  # as grpcio's versions have it
        reason = open_credentials(trusting(ca)).reason_of(
            f"CERTIFICATE_VERIFY_FAILED: path length constraint exceeded{end}"
        )
        assert reason
        assert reason.text == "its certificate is not accepted: path length constraint exceeded"


def test_an_alert_behind_the_handshake_is_told_as_a_refusal(ca: Ca) -> None:
    """As a server that has its TLS from BoringSSL refuses a client without a certificate."""
    reason = open_credentials(trusting(ca)).reason_of("Unwrap failed (TSI_DATA_CORRUPTED)")
    assert reason
    assert reason.text == (
        "it ends TLS right after the handshake, with an alert: it may require a certificate of"
        " this device"
    )


async def test_the_doctor_prints_its_own_words_alone(ca: Ca, tmp_path: Path) -> None:
    """gRPC logs a failed handshake by itself."""
    config = tmp_path / "agent.toml"
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"}
    other = Ca(tmp_path, "other").issue("x", LOOPBACK)
    async with middle_box(box.say_nothing, box.context(other)) as port:
        config.write_text(
            f'[agent]\nid = "press-1"\n[broker]\naddress = "127.0.0.1:{port}"\n'
            f'[tls]\nca = "{ca.path}"\n'
            '[source]\nkind = "replay"\npath = "x.csv"\n'
        )
        doctor = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "agent", "check", "--config", str(config)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )
        told, logged = await asyncio.wait_for(doctor.communicate(), PATIENCE_S)
    assert b"not signed by an authority in tls.ca" in told
    assert not logged


async def test_an_expired_certificate_of_this_device_is_not_blamed_for_a_closed_port(
    ca: Ca,
) -> None:
    own = ca.issue("press-1", from_days=-9, days=-2)
    address = Address("127.0.0.1", 1)
    words = "it cannot be reached at 127.0.0.1:1: Connection refused"
    assert await said(address, trusting(ca, own)) == words


async def test_a_port_that_nobody_answers_at_is_told_with_its_address() -> None:
    with box.deaf_port() as port:
        address = Address("127.0.0.1", port)
        settings = Settings(AgentSettings("press-1"), BrokerSettings(str(address)))
        async with Tried(address, settings=QUICK) as tried:
            trouble = await tried.trouble()
        (finding,) = await asyncio.to_thread(list, check_brokers(settings, PATIENCE, PATIENCE_S))
    # grpcio 1.72 gives up by closing its socket, and may take that for the other side's doing.
    reasons = "no answer within 0.5 s", "Connection reset by peer"
    words = [f"it cannot be reached at {address}: {reason}" for reason in reasons]
    assert trouble in words
    assert finding.detail in [f"{address}: {each}" for each in words]


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        ("Connection refused", "broker run"),
        ("No route to host", "ip route"),
        ("Network is unreachable", "ip route"),
        ("Operation not permitted", "firewall of this device"),
        ("Invalid argument", "needs its interface"),
    ],
)
def test_a_connection_that_the_system_does_not_make_gets_the_advice_that_fits(
    error: str, remedy: str
) -> None:
    """In the words of grpcio's newest and oldest version."""
    where = "failed to connect to all addresses; last error: UNAVAILABLE: ipv6:%5Bfe80::1%252%5D:9:"
    for said in (
        f"connect: {error} (1)",
        f"Failed to connect to remote host: connect: {error} (1)",
    ):
        reason = reason_of(f"{where} {said}", Plaintext(), 1.0, by_proxy=False)
        assert reason
        assert reason.text == f"it cannot be reached at [fe80::1%2]:9: {error}"
        assert remedy in reason.remedy


@pytest.mark.parametrize(
    "said",
    [
        "Failed parsing HTTP/2 (Frame size 9 is larger than max frame size 5)",
        "Stream removed (Transport closed (Delayed close due to in-progress write (Failed parsing"
        " HTTP/2 (Frame size 9 is larger than max frame size 5))))",
    ],
)
def test_frames_that_are_broken_are_not_told_as_the_brokers_word(said: str) -> None:
    reason = reason_of(said, Plaintext(), 1.0, by_proxy=False)
    assert reason
    assert reason.text == "what it sends is not HTTP/2"
    assert reason_of(f"row 9: {said}", Plaintext(), 1.0, by_proxy=False) is None


async def test_a_name_that_nobody_knows_is_told() -> None:
    trouble = await said(Address("nowhere.invalid", 8061))
    assert trouble.startswith("the name nowhere.invalid is not found: ")
