"""How far a connection comes: the words of agent and doctor at each stage where it can end."""

import asyncio
import os
import ssl
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from grpc_health.v1.health_pb2 import HealthCheckResponse
from support import middle_box as box
from support.certificates import LOOPBACK, Ca, Files
from support.links import Tried
from support.middle_box import middle_box
from support.patience import PATIENCE_S
from support.peers import Peer, scripted_broker

from agent.check.broker import check_brokers
from agent.check.findings import Finding, Outcome
from agent.config import AgentSettings, BrokerSettings, Settings, TlsSettings
from agent.credentials.opening import open_credentials
from quartet.address import Address

PATIENCE = 0.5

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


async def said(address: Address, tls: TlsSettings | None = None) -> str:
    """What keeps an agent from streaming; the doctor says the same."""
    settings = Settings(AgentSettings("press-1"), BrokerSettings(str(address)), tls)
    async with Tried(address, open_credentials(tls)) as tried:
        trouble = await tried.trouble()
    (finding,) = await asyncio.to_thread(list, check_brokers(settings, PATIENCE, PATIENCE_S))
    assert finding.outcome is Outcome.FAILED
    assert finding.remedy
    assert finding.detail == f"{address}: {trouble}"
    return trouble


HTML = (":status", "200"), ("content-type", "text/html")
GRPC = (":status", "200"), ("content-type", "application/grpc")

BEFORE_HTTP2 = {
    "closed at once": (box.close, "it closes the connection before HTTP/2 begins: it may"),
    "closed at the preface": (box.close_at_first_bytes, "it closes the connection before HTTP/2"),
    "reset at the preface": (box.reset_at_first_bytes, "it closes the connection before HTTP/2"),
    "mute": (box.say_nothing, "it accepts the connection, and then sends nothing within 0.5 s"),
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
    "GOAWAY": (box.http2(box.go_away(b"bye")), "the connection was closed (GOAWAY, error 0: bye)"),
}


@pytest.mark.parametrize("case", [*BEFORE_HTTP2, *ON_A_CONNECTION])
async def test_what_ends_a_connection_in_the_clear_is_told_as_what_it_is(case: str) -> None:
    script, words = (BEFORE_HTTP2 | ON_A_CONNECTION)[case]
    async with middle_box(script) as port:
        assert words in await said(Address("127.0.0.1", port))


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
        assert words in await said(Address("127.0.0.1", port), trusting(ca))


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
    ],
)
async def test_what_ends_a_handshake_is_told_as_what_it_is(
    script: box.Script, words: str, ca: Ca
) -> None:
    async with middle_box(script) as port:
        assert words in await said(Address("127.0.0.1", port), trusting(ca))


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (box.close, "right after it: it may require a certificate of this device"),
        (box.say_nothing, "it finishes the TLS handshake, and then sends nothing within 0.5 s"),
        (box.say(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "it answers by HTTP/1 (status 400)"),
    ],
)
async def test_what_ends_a_connection_after_the_handshake_is_told_as_what_it_is(
    script: box.Script, words: str, ca: Ca, files: Files
) -> None:
    async with middle_box(script, box.context(files)) as port:
        assert words in await said(Address("127.0.0.1", port), trusting(ca))


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


def test_a_check_that_has_no_words_here_is_told_in_those_of_the_library(ca: Ca) -> None:
    for end in ("", ": OK"):  # as grpcio's versions have it
        reason = open_credentials(trusting(ca)).reason_of(
            f"CERTIFICATE_VERIFY_FAILED: path length constraint exceeded{end}"
        )
        assert reason
        assert reason.text == "its certificate is not accepted: path length constraint exceeded"


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
        async with Tried(address) as tried:
            trouble = await tried.trouble()
        (finding,) = await asyncio.to_thread(list, check_brokers(settings, PATIENCE, PATIENCE_S))
    # grpcio 1.72 gives up by closing its socket, and may take that for the other side's doing.
    reasons = "no answer within 0.5 s", "Connection reset by peer"
    words = [f"it cannot be reached at {address}: {reason}" for reason in reasons]
    assert trouble in words
    assert finding.detail in [f"{address}: {each}" for each in words]


async def test_a_name_that_nobody_knows_is_told() -> None:
    trouble = await said(Address("nowhere.invalid", 8061))
    assert trouble.startswith("the name nowhere.invalid is not found: ")


# Servers that speak gRPC


async def checked(port: int) -> Finding:
    """What the doctor says of a server in the clear."""
    broker = BrokerSettings(f"127.0.0.1:{port}")
    settings = Settings(AgentSettings("press-1"), broker)
    (finding,) = await asyncio.to_thread(list, check_brokers(settings, PATIENCE_S, PATIENCE_S))
    return finding


async def test_a_server_without_health_is_no_broker() -> None:
    async with scripted_broker(None) as port:
        finding = await checked(port)
    assert finding.outcome is Outcome.FAILED
    assert "has no health service: this is not a Quartet broker" in finding.detail


async def test_a_server_without_streams_is_no_broker_whatever_its_health() -> None:
    async with scripted_broker(None, tell_health=lambda: SERVING) as port:
        finding = await checked(port)
    assert finding.outcome is Outcome.FAILED
    assert "has no service for samples: this is not a Quartet broker" in finding.detail


async def test_a_broker_that_does_not_serve_is_no_success() -> None:
    async with scripted_broker(Peer.echo, tell_health=lambda: NOT_SERVING) as port:
        finding = await checked(port)
    assert finding.outcome is Outcome.FAILED
    assert "says that it is not serving" in finding.detail


async def test_a_broker_that_cannot_be_asked_for_admission_passes_and_this_is_said() -> None:
    async with scripted_broker(Peer.echo, tell_health=lambda: SERVING) as port:
        finding = await checked(port)
    assert finding.outcome is Outcome.PASSED
    assert "admission not tested" in finding.detail
