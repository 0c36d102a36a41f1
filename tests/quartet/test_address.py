import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quartet.address import Address, UnixAddress, place
from quartet.errors import SettingsError
from quartet.foreign import shown

many = settings(derandomize=True, deadline=None, max_examples=60)

labels = st.text("abcxyzABC019-_", min_size=1, max_size=12)
names = st.lists(labels, min_size=1, max_size=4).map(".".join)
hosts = names | st.ip_addresses().map(str)
ports = st.integers(0, 65535)


@many
@given(hosts, ports)
def test_what_is_written_of_an_address_is_read_as_the_same(host: str, port: int) -> None:
    assert Address.parse(str(Address(host, port)), "listen.address") == Address(host, port)


@many
@given(st.ip_addresses(v=6), ports)
def test_an_ipv6_host_is_written_in_brackets(host: ipaddress.IPv6Address, port: int) -> None:
    assert str(Address(str(host), port)) == f"[{host}]:{port}"


@many
@given(st.text(max_size=30) | st.text("[]:.1a/ ", max_size=12))
def test_any_text_is_an_address_or_refused_by_name(text: str) -> None:
    try:
        address = Address.parse(text, "broker.address")
    except SettingsError as error:
        refusal = str(error)
    else:
        assert address.host
        assert 0 <= address.port <= 65535
        assert Address.parse(str(address), "again") == address
        return
    assert refusal.startswith("broker.address: expected HOST:PORT")
    assert repr(text) in refusal or "@" in text or "://" in text


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "host", "host:", ":8061", "8061", "[]:8061", "[::1]", "[::1]8061"),
        *("::1:8061", "::1", "[::1:8061", "::1]:8061", "[[::1]]:8061", "a:b:1"),
        *("host:-1", "host:+1", "host:65536", "host:1.0", "host:0x1", "host: 1", "host:1 "),
        *("host:\u0661", "host:\u00b2", "host:80a", "a b:1", " host:1", "host :1"),
        *("host/path:1", "unix:/run/x:1"),
        *("a\nb:1", "a\tb:1", "a\0b:1", "\N{NO-BREAK SPACE}:1", "host:1\n", "host\n:1"),
        pytest.param("host:" + "1" * 5_000, id="5000 digits"),
    ],
)
def test_what_is_no_address_is_refused_by_the_name_of_its_setting(text: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Address.parse(text, "listen.address")
    assert str(raised.value) == (
        f"listen.address: expected HOST:PORT, such as 127.0.0.1:8061, got {shown(repr(text))}"
    )


@many
@given(st.ip_addresses(v=4, network="127.0.0.0/8"), ports)
def test_traffic_to_127_stays_on_the_machine(host: ipaddress.IPv4Address, port: int) -> None:
    assert Address(str(host), port).is_loopback


@pytest.mark.parametrize("text", ["localhost:1", "[::1]:1", "[0:0:0:0:0:0:0:1]:1"])
def test_localhost_and_ipv6_loopback_stay_on_the_machine(text: str) -> None:
    assert Address.parse(text, "x").is_loopback


def is_elsewhere(host: str) -> bool:
    """Of IPv4 in IPv6, Python's versions differ in what they call a loopback."""
    return not host.startswith(("localhost", "127.", "::ffff:"))


@many
@given(hosts.filter(is_elsewhere), ports)
def test_all_other_hosts_are_beyond_the_machine(host: str, port: int) -> None:
    assert Address(host, port).is_loopback == (host == "::1")


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "::", "localhost.example", "127.0.0.1.example", "128.0.0.1"],  # noqa: S104
)
def test_what_only_resembles_a_loopback_is_beyond_the_machine(host: str) -> None:
    assert not Address(host, 8061).is_loopback


def test_a_server_may_listen_on_a_socket_in_the_file_system() -> None:
    address = place("unix:/run/broker/broker.sock", "listen.address")
    assert address == UnixAddress("/run/broker/broker.sock")
    assert str(address) == "unix:/run/broker/broker.sock"
    assert address.is_loopback
    assert place("127.0.0.1:1", "listen.address") == Address("127.0.0.1", 1)


@pytest.mark.parametrize("path", ["", "relative.sock", "/" + 107 * "x", "/a\0b", "/" + 54 * "é"])
def test_a_path_that_the_system_does_not_take_is_refused(path: str) -> None:
    with pytest.raises(
        SettingsError, match=r"listen\.address: expected unix: and an absolute path"
    ):
        place(f"unix:{path}", "listen.address")


@pytest.mark.parametrize(
    "text", ["u:secret@h:1", "http://u:secret@h:1", "secret@[::1]:1", "secret@"]
)
def test_a_password_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(SettingsError, match="without a user or password") as told:
        Address.parse(text, "broker.proxy")
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "localhost.", "127.0.0.9", "::1"])
def test_this_machine_is_loopback_however_it_is_written(host: str) -> None:
    assert Address(host, 1).is_loopback


def test_a_name_that_only_begins_or_ends_like_this_machines_is_another() -> None:
    assert not Address("localhost.plant", 1).is_loopback
    assert not Address("my.localhost..", 1).is_loopback


@pytest.mark.parametrize("text", ["mqtt://host:1883", "http://host"])
def test_a_url_is_told_what_to_leave_out(text: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Address.parse(text, "mqtt.address", "127.0.0.1:1883")
    scheme = text.partition("://")[0]
    said = f"expected HOST:PORT, such as 127.0.0.1:1883: leave out '{scheme}://'"
    assert str(raised.value) == f"mqtt.address: {said}"
