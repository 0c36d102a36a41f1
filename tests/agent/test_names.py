"""A broker's name: found as the system finds it, at each try, and every address of it tried."""

import asyncio
import socket
import threading
from pathlib import Path

import pytest
from support import middle_box as box
from support.certificates import Ca
from support.links import QUICK, Tried
from support.patience import PATIENCE_S
from support.peers import Peer, scripted_broker

from agent.config import BrokerSettings, Settings, TlsSettings, check
from agent.config.source import VirtualAds1115Settings
from agent.credentials.tls import Tls
from agent.reach.names import Addresses, Names, look_up
from agent.reach.way import target
from agent.reason import UnreachedError
from quartet.address import Address
from quartet.errors import SettingsError

LOOPBACK: Addresses = (("127.0.0.1", 0),)


class System:
    """Finds what a test has it find, and notes who is looked up."""

    def __init__(self, *found: Addresses | Exception) -> None:
        self._found = found
        self.asked: list[str] = []

    def __call__(self, host: str) -> Addresses:
        self.asked.append(host)
        found = self._found[min(len(self.asked), len(self._found)) - 1]
        if isinstance(found, Exception):
            raise found
        return found


async def test_a_name_of_any_kind_is_streamed_to_under_its_own_name() -> None:
    system = System(LOOPBACK)
    async with scripted_broker(Peer.echo) as port:
        address = Address("brokerpi.local", port)
        async with Tried(address, names=Names(system)) as tried:
            await tried.until(lambda: tried.predictions)
    assert system.asked == ["brokerpi.local"]
    assert not tried.link.trouble


async def test_the_system_itself_knows_the_names_of_this_machine() -> None:
    assert ("127.0.0.1", 0) in look_up("localhost")
    async with scripted_broker(Peer.echo) as port, Tried(Address("localhost", port)) as tried:
        await tried.until(lambda: tried.predictions)


@pytest.mark.parametrize("last", ["::1", "127.0.0.2"])
async def test_of_several_addresses_the_one_that_came_furthest_is_told(
    last: str, tmp_path: Path
) -> None:
    """The broker's certificate is wrong, and nobody listens at its other address."""
    system = System((("127.0.0.1", 0), (last, 0)))
    ca = Ca(tmp_path)
    tls = TlsSettings(str(ca.path))
    async with box.middle_box(box.say_nothing, box.context(ca.issue("elsewhere"))) as port:
        address = Address("brokerpi.local", port)
        async with Tried(address, Tls(tls), names=Names(system)) as tried:
            trouble = await tried.trouble()
    assert "its certificate is for other names" in trouble


async def test_a_name_is_looked_up_again_at_each_try() -> None:
    system = System(
        socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
        (("127.0.0.2", 0),),
        LOOPBACK,
    )
    async with (
        scripted_broker(Peer.echo) as port,
        Tried(Address("brokerpi.local", port), names=Names(system)) as tried,
    ):
        assert await tried.trouble() == (
            "the name brokerpi.local is not found: Temporary failure in name resolution"
        )
        await tried.until(lambda: tried.predictions)
    assert len(system.asked) == 3


async def test_every_address_is_tried_whichever_of_them_answers() -> None:
    found = (("127.0.0.3", 0), ("::1", 0), ("127.0.0.1", 0))
    async with (
        scripted_broker(Peer.echo) as port,
        Tried(Address("broker.plant", port), names=Names(System(found))) as tried,
    ):
        await tried.until(lambda: tried.predictions)
    assert not tried.link.trouble


async def test_a_look_up_that_is_slow_succeeds_late_and_is_not_asked_twice() -> None:
    may_answer = threading.Event()

    def slow(host: str) -> Addresses:
        asked.append(host)
        may_answer.wait(PATIENCE_S)
        return LOOPBACK

    asked: list[str] = []
    async with (
        scripted_broker(Peer.echo) as port,
        Tried(Address("broker.plant", port), names=Names(slow), settings=QUICK) as tried,
    ):
        assert await tried.trouble() == (
            "nobody answers within 0.5 s what address the name broker.plant has"
        )
        may_answer.set()
        await tried.until(lambda: tried.predictions)
    assert asked == ["broker.plant"]


async def test_a_connection_that_is_slow_succeeds_late() -> None:
    """Its first byte comes later than the first patience, and sooner than the second."""
    async with scripted_broker(Peer.echo) as port:
        late = box.late(port, 1.5 * QUICK.reply_deadline_s)
        async with (
            box.middle_box(late) as via,
            Tried(Address("127.0.0.1", via), settings=QUICK) as tried,
        ):
            assert "sends no HTTP/2 within 0.5 s" in await tried.trouble()
            await tried.until(lambda: tried.predictions)


async def test_the_wait_for_an_answer_begins_when_the_sample_was_sent() -> None:
    async def mute(_: Peer) -> None:
        await asyncio.Event().wait()

    async with (
        scripted_broker(mute) as port,
        Tried(Address("127.0.0.1", port), settings=QUICK) as tried,
    ):
        assert await tried.trouble() == "no answer for 0.5 s to a sample that was sent"


@pytest.mark.parametrize("named", ["broker.plant.example", "*.plant.example"])
async def test_a_certificate_is_judged_by_the_name_and_not_by_its_address(
    named: str, tmp_path: Path
) -> None:
    ca = Ca(tmp_path)
    files = ca.issue("broker", [named])
    tls = TlsSettings(str(ca.path))
    names = Names(System(LOOPBACK))
    async with scripted_broker(Peer.echo, tls=files) as port:
        async with Tried(Address("broker.plant.example", port), Tls(tls), names=names) as tried:
            await tried.until(lambda: tried.predictions)
        async with Tried(Address("another.one", port), Tls(tls), names=names) as tried:
            assert "its certificate is for other names" in await tried.trouble()


@pytest.mark.parametrize("host", ["a..b", "x" * 70 + ".plant", "", "ä..b"])
async def test_what_can_be_no_host_name_is_told(host: str) -> None:
    with pytest.raises(UnreachedError, match="name"):
        await Names().addresses(host, PATIENCE_S)


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        ((("10.0.0.1", 0),), "ipv4:10.0.0.1:8061"),
        ((("10.0.0.1", 0), ("10.0.0.2", 0)), "ipv4:10.0.0.1:8061,10.0.0.2:8061"),
        ((("fe80::1", 2),), "ipv6:[fe80::1%252]:8061"),
        ((("fd00::1", 0), ("10.0.0.1", 0)), "ipv6:[fd00::1]:8061,[::ffff:10.0.0.1]:8061"),
    ],
)
def test_grpc_gets_each_address_in_its_order(addresses: Addresses, expected: str) -> None:
    assert target(addresses, 8061) == expected


@pytest.mark.parametrize(
    ("host", "found", "words", "remedy"),
    [
        (
            "broker.plant",
            (("0.0.0.0", 0), ("::", 0)),  # noqa: S104 - nothing is bound
            "the name broker.plant is blocked, by a name server or /etc/hosts: its address is"
            " 0.0.0.0",
            "getent ahosts broker.plant",
        ),
        ("broker.plant", (), "the name broker.plant has no address", "getent ahosts"),
        (
            "brokerpi.local",
            socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
            "the name brokerpi.local is not found: Name or service not known",
            "names in .local need the packages avahi-daemon and libnss-mdns on this device",
        ),
        (
            "fe80::1%none9",
            (),
            "the address fe80::1%none9 cannot be used: this device has no network interface none9",
            "ip address",
        ),
        (
            "fe80:x%lo",
            (),
            "the address fe80:x%lo cannot be used: it is not an IPv6 address",
            "check broker.address",
        ),
        (
            "fd00::1%lo",
            (),
            "the address fd00::1%lo cannot be used: only link-local addresses have a network"
            " interface behind them",
            "set broker.address to fd00::1",
        ),
    ],
)
async def test_a_name_that_leads_nowhere_is_told_with_its_cause(
    host: str, found: Addresses | Exception, words: str, remedy: str
) -> None:
    async with Tried(Address(host, 8061), names=Names(System(found))) as tried:
        assert await tried.trouble() == words
    with pytest.raises(UnreachedError) as told:
        await Names(System(found)).addresses(host, PATIENCE_S)
    assert remedy in told.value.reason.remedy


async def test_a_dot_at_the_end_of_a_name_is_no_part_of_a_certificate(tmp_path: Path) -> None:
    ca = Ca(tmp_path)
    tls = Tls(TlsSettings(str(ca.path)))
    files = ca.issue("broker", ["broker.plant"])
    async with (
        scripted_broker(Peer.echo, tls=files) as port,
        Tried(Address("broker.plant.", port), tls, names=Names(System(LOOPBACK))) as tried,
    ):
        await tried.until(lambda: tried.predictions)


@pytest.mark.parametrize("address", ["0.0.0.0:8061", "[::]:8061"])
def test_where_a_broker_listens_is_no_address_of_it(address: str) -> None:
    settings = Settings(broker=BrokerSettings(address), source=VirtualAds1115Settings())
    with pytest.raises(SettingsError, match=r"name its machine, or 127\.0\.0\.1 for this one"):
        check(settings)
