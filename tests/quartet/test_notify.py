import os
import secrets
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clock import ManualClock
from support.patience import PATIENCE_S

from quartet.clock import Clock
from quartet.notify import Notifier

many = settings(derandomize=True, deadline=None, max_examples=60)


@pytest.fixture(autouse=True)
def no_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: that of a socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


@pytest.fixture
def systemd() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.settimeout(PATIENCE_S)
        yield receiver


def notifier_of(address: str, clock: Clock = time) -> Notifier:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOTIFY_SOCKET", address)
        return Notifier(clock)


def say_all(notifier: Notifier) -> None:
    notifier.ready()
    notifier.status("streaming; 982 samples")
    notifier.watchdog()
    notifier.stopping()


SAID = [b"READY=1", b"STATUS=streaming; 982 samples", b"WATCHDOG=1", b"STOPPING=1"]


def test_notices_arrive_at_a_socket_in_the_file_system(
    systemd: socket.socket, folder: Path
) -> None:
    address = str(folder / "notify")
    systemd.bind(address)
    say_all(notifier_of(address))
    assert [systemd.recv(4096) for _ in SAID] == SAID


def test_notices_arrive_at_an_abstract_socket(systemd: socket.socket) -> None:
    name = f"quartet@test/{secrets.token_hex(8)}"
    systemd.bind(f"\0{name}")
    say_all(notifier_of(f"@{name}"))
    assert [systemd.recv(4096) for _ in SAID] == SAID


def test_an_at_sign_inside_a_path_is_part_of_it(systemd: socket.socket, folder: Path) -> None:
    (folder / "user@1000").mkdir()
    address = str(folder / "user@1000" / "notify")
    systemd.bind(address)
    say_all(notifier_of(address))
    assert [systemd.recv(4096) for _ in SAID] == SAID


def test_a_reload_is_stamped_by_the_monotonic_clock(systemd: socket.socket, folder: Path) -> None:
    address = str(folder / "notify")
    systemd.bind(address)
    with notifier_of(address, ManualClock(now_s=12.5)).reloading():
        assert systemd.recv(4096) == b"RELOADING=1\nMONOTONIC_USEC=12500000"
    assert systemd.recv(4096) == b"READY=1"


def test_a_status_stays_on_one_line_and_is_utf_8(systemd: socket.socket, folder: Path) -> None:
    address = str(folder / "notify")
    systemd.bind(address)
    notifier_of(address).status("waiting (UNAVAILABLE:\nREADY=1) \N{BULLET}")
    assert systemd.recv(4096).decode() == "STATUS=waiting (UNAVAILABLE:\\nREADY=1) \N{BULLET}"


def test_a_socket_that_nobody_reads_neither_blocks_nor_fails(
    systemd: socket.socket, folder: Path
) -> None:
    address = str(folder / "notify")
    systemd.bind(address)
    notifier = notifier_of(address)
    for _ in range(10_000):  # far more than a socket's queue holds
        notifier.watchdog()
    assert systemd.recv(4096) == b"WATCHDOG=1"
    notifier.status("x" * 10**7)  # no datagram is so long


@pytest.mark.parametrize("address", ["", "@", "relative", "vsock:2:1", "/" + "x" * 200])
def test_an_address_where_nobody_listens_is_harmless(address: str) -> None:
    say_all(notifier_of(address))


def test_a_socket_that_is_gone_or_no_socket_is_harmless(
    systemd: socket.socket, folder: Path
) -> None:
    systemd.bind(str(folder / "notify"))
    systemd.close()
    say_all(notifier_of(str(folder / "notify")))
    (folder / "file").touch()
    say_all(notifier_of(str(folder / "file")))


def test_off_systemd_nothing_is_said_and_no_beat_is_wanted() -> None:
    notifier = Notifier()
    say_all(notifier)
    assert notifier.watchdog_s == 0


@many
@given(st.integers(0, 10**12), st.sampled_from([None, str(os.getpid())]))
def test_the_beat_that_systemd_wants_is_read_in_seconds(usec: int, pid: str | None) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WATCHDOG_USEC", str(usec))
        if pid:
            patch.setenv("WATCHDOG_PID", pid)
        assert Notifier().watchdog_s == pytest.approx(usec / 1e6)


def test_a_beat_wanted_of_another_process_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid() + 1))
    assert Notifier().watchdog_s == 0


@pytest.mark.parametrize("usec", ["", "-1", "1.5", "soon", " 1", "\N{SUPERSCRIPT TWO}"])
def test_a_beat_that_is_no_number_is_none(monkeypatch: pytest.MonkeyPatch, usec: str) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    assert Notifier().watchdog_s == 0


@pytest.mark.parametrize(("usec", "pulse_s"), [("0", 1.0), ("1500000", 0.5), ("30000000", 1.0)])
def test_a_beat_comes_thrice_in_the_time_of_systemd(
    monkeypatch: pytest.MonkeyPatch, usec: str, pulse_s: float
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    assert Notifier().pulse_s == pulse_s
