"""A proxy that connects by HTTP CONNECT: on the way, and where it does not connect."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from support import middle_box as box
from support.certificates import Ca
from support.links import QUICK, Tried
from support.middle_box import http_proxy, middle_box
from support.patience import PATIENCE_S
from support.peers import Peer, scripted_broker

from agent.check.broker import check_brokers
from agent.check.findings import Finding, Outcome
from agent.config import AgentSettings, BrokerSettings, Settings, TlsSettings, check
from agent.config.source import VirtualAds1115Settings
from agent.credentials.opening import open_credentials
from agent.credentials.tls import Tls
from quartet.address import Address
from quartet.errors import SettingsError


def at(port: int) -> Address:
    return Address("127.0.0.1", port)


FAR = Address("broker.far", 8061)
PATIENCE = 0.5


async def test_a_broker_is_streamed_to_through_a_proxy_that_knows_its_name() -> None:
    asked: list[str] = []
    async with (
        scripted_broker(Peer.echo) as port,
        middle_box(http_proxy(port, asked)) as via,
        Tried(FAR, proxy=at(via)) as tried,
    ):
        await tried.until(lambda: tried.predictions)
    assert asked == ["CONNECT broker.far:8061 HTTP/1.1"]


async def test_tls_is_the_brokers_through_a_proxy(tmp_path: Path) -> None:
    ca = Ca(tmp_path)
    tls = Tls(TlsSettings(str(ca.path)))
    files = ca.issue("broker", ["broker.far"])
    async with (
        scripted_broker(Peer.echo, tls=files) as port,
        middle_box(http_proxy(port, [])) as via,
    ):
        async with Tried(FAR, tls, proxy=at(via)) as tried:
            await tried.until(lambda: tried.predictions)
        async with Tried(Address("other.far", 8061), tls, proxy=at(via)) as tried:
            assert "its certificate is for other names" in await tried.trouble()


@pytest.mark.parametrize("status", ["403 Forbidden", "407 Proxy Authentication Required"])
async def test_a_proxy_that_does_not_connect_is_told_by_agent_and_doctor(status: str) -> None:
    async with middle_box(http_proxy(1, [], status)) as via:
        words = f"the proxy at {at(via)} does not connect: it answers HTTP status {status[:3]}"
        async with Tried(FAR, proxy=at(via)) as tried:
            assert await tried.trouble() == words
        broker = BrokerSettings(str(FAR), proxy=str(at(via)))
        settings = Settings(AgentSettings("press-1"), broker)
        (finding,) = await asyncio.to_thread(list, check_brokers(settings))
        assert finding.detail == f"{FAR}: {words}"


async def mute_proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Connects, and passes nothing on."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
    await box.say_nothing(reader, writer)


ENDS = {
    "closed": (box.close_at_first_bytes, "the connection is closed, by the proxy at {} or behind"),
    "reset": (box.reset_at_first_bytes, "the connection is closed, by the proxy at {} or behind"),
    # The second one by grpcio 1.72, which does not tell a connection from what follows.
    "mute": (
        box.say_nothing,
        "the proxy at {} does not answer within 0.5 s",
        "proxy: it cannot be reached at {}: no answer within 0.5 s",
    ),
    "another protocol": (box.say(b"SSH-2.0-x\r\n"), "what the proxy at {} answers is not HTTP"),
    "password": (http_proxy(1, [], "407 Who"), "the proxy at {} does not connect: it answers"),
}


async def said(via: Address, tls: TlsSettings | None = None) -> Finding:
    """What the doctor says; the agent says the same."""
    async with Tried(FAR, open_credentials(tls), proxy=via, settings=QUICK) as tried:
        trouble = await tried.trouble()
    settings = Settings(AgentSettings("press-1"), BrokerSettings(str(FAR), proxy=str(via)), tls)
    (finding,) = await asyncio.to_thread(list, check_brokers(settings, PATIENCE, PATIENCE_S))
    assert finding.outcome is Outcome.FAILED
    assert finding.detail == f"{FAR}: {trouble}"
    return finding


@pytest.mark.parametrize("with_tls", [False, True])
@pytest.mark.parametrize("case", ENDS)
async def test_what_ends_at_the_proxy_is_not_told_as_the_brokers(
    case: str, with_tls: bool, tmp_path: Path
) -> None:
    script, *words = ENDS[case]
    tls = TlsSettings(str(Ca(tmp_path).path)) if with_tls else None
    async with middle_box(script) as via:
        finding = await said(at(via), tls)
    assert any(each.format(at(via)) in finding.detail for each in words)
    assert finding.remedy.startswith("check broker.proxy")
    assert ("password" in finding.remedy) == (case == "password")


async def test_what_ends_behind_the_proxy_is_the_brokers() -> None:
    async with middle_box(mute_proxy) as via:
        finding = await said(at(via))
    assert "it accepts the connection, and then sends no HTTP/2" in finding.detail
    assert "broker.address" in finding.remedy


async def sign_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says that it connects, and shows a page of its own."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n<html>Please sign in")
    await writer.drain()
    await box.say_nothing(reader, writer)


async def test_a_proxy_that_answers_in_the_brokers_place_is_thought_of(tmp_path: Path) -> None:
    async with middle_box(sign_in) as via:
        for tls in (None, TlsSettings(str(Ca(tmp_path).path))):
            finding = await said(at(via), tls)
            assert finding.remedy.endswith("or the proxy answers in its place")


@pytest.mark.parametrize(
    ("via", "words"),
    [
        (at(1), "proxy: it cannot be reached at 127.0.0.1:1: Connection refused"),
        (Address("nowhere.invalid", 3128), "the name nowhere.invalid is not found"),
    ],
)
async def test_a_proxy_that_is_not_reached_is_named_by_its_setting(
    via: Address, words: str
) -> None:
    finding = await said(via)
    assert words in finding.detail
    assert "broker.proxy" in finding.remedy
    assert "broker.address" not in finding.remedy


async def test_a_slow_proxy_connects_late() -> None:
    """Each try that the proxy did not answer in time gives the next one longer."""
    async with scripted_broker(Peer.echo) as port:

        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(1.5 * QUICK.reply_deadline_s)
            await http_proxy(port, [])(reader, writer)

        async with middle_box(slow) as via, Tried(FAR, proxy=at(via), settings=QUICK) as tried:
            await tried.until(lambda: tried.predictions)


async def test_the_setting_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.setenv(name, "*,broker.far")
    for name in ("http_proxy", "grpc_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with (
        scripted_broker(Peer.echo) as port,
        middle_box(http_proxy(port, [])) as via,
        Tried(FAR, proxy=at(via)) as tried,
    ):
        await tried.until(lambda: tried.predictions)


def test_a_proxy_on_another_machine_needs_tls_or_a_word() -> None:
    def settings(**broker: object) -> Settings:
        return Settings(
            broker=msgspec.convert(broker, BrokerSettings), source=VirtualAds1115Settings()
        )

    check(settings(proxy="127.0.0.1:3128"))
    check(settings(proxy="proxy.plant:3128", insecure=True))
    with pytest.raises(SettingsError, match=r"broker.proxy: proxy.plant:3128 is another machine"):
        check(settings(proxy="proxy.plant:3128"))
    with pytest.raises(msgspec.ValidationError, match="proxy: expected HOST:PORT"):
        settings(proxy="http://proxy")
