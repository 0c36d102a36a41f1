"""What systemd hears of a running agent, on a socket that stands in for it."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.patience import PATIENCE_S
from support.ports import kept_port
from support.processes import Agent, Broker


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(PATIENCE_S)
        yield systemd


def told(systemd: socket.socket, start: str) -> str:
    """The next notice that starts so."""
    while True:
        notice = systemd.recv(4096).decode()
        if notice.startswith(start):
            return notice


def environment(systemd: socket.socket) -> dict[str, str]:
    return {"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "600000"}


def test_a_start_the_beats_the_state_and_a_stop_are_told(
    systemd: socket.socket, dataset: Path
) -> None:
    with (
        Broker() as broker,
        Agent(
            *("--simulate", str(dataset), "--loop", "--broker", broker.address),
            env=environment(systemd),
        ) as agent,
    ):
        told(systemd, "READY=1")
        agent.wait_for("sample 3: ")
        for _ in range(3):
            told(systemd, "WATCHDOG=1")
        told(systemd, f"STATUS=streaming to {broker.address}, learning ")
        agent.signal(signal.SIGTERM)
        told(systemd, "STOPPING=1")
        assert agent.wait() == 0


def test_a_broker_whose_store_is_gone_says_so(systemd: socket.socket, tmp_path: Path) -> None:
    store = tmp_path / "broker.db"
    with Broker("--store", str(store), env=environment(systemd)) as broker:
        told(systemd, "READY=1")
        assert told(systemd, "STATUS=") == "STATUS=0 streams"
        store.unlink()
        assert "was deleted while in use" in told(systemd, f"STATUS={store}")
        told(systemd, "WATCHDOG=1")
        assert broker.stop() == 0


def test_ready_means_sampling_and_needs_no_broker(systemd: socket.socket, dataset: Path) -> None:
    with (
        kept_port() as port,
        Agent(
            *("--simulate", str(dataset), "--loop", "--broker", f"127.0.0.1:{port}"),
            env=environment(systemd),
        ) as agent,
    ):
        told(systemd, "READY=1")
        status = told(systemd, f"STATUS=no connection to 127.0.0.1:{port} for ")
        assert "(it cannot be reached at 127.0.0.1:" in status
        assert " wait" in status
        for _ in range(3):
            told(systemd, "WATCHDOG=1")
        assert agent.hurry() == 1


def test_a_source_that_hangs_is_a_missed_beat_and_delays_no_stop(
    systemd: socket.socket, tmp_path: Path
) -> None:
    fifo = tmp_path / "hangs.csv"
    os.mkfifo(fifo)
    held = os.open(fifo, os.O_RDWR)  # so that neither side waits for the other
    os.write(held, b"0.1,0.1,0.1,0.1\n0.1,0.1,0.1,0.1\n")
    try:
        with (
            Broker() as broker,
            Agent(
                *("--simulate", str(fifo), "--rate", "100", "--broker", broker.address),
                env=environment(systemd),
            ) as agent,
        ):
            agent.wait_for("sample 1: ")
            without_beat = 0
            while without_beat < 10:  # a status comes as often as a beat would
                beat = systemd.recv(4096).startswith(b"WATCHDOG=1")
                without_beat = 0 if beat else without_beat + 1
            agent.signal(signal.SIGTERM)
            assert agent.wait() == 0
    finally:
        os.close(held)


def test_a_broker_tells_its_start_its_streams_its_beats_and_its_stop(
    systemd: socket.socket, dataset: Path
) -> None:
    with Broker(env=environment(systemd)) as broker:
        told(systemd, "READY=1")
        told(systemd, "STATUS=0 streams")
        with Agent("--simulate", str(dataset), "--loop", "--broker", broker.address):
            told(systemd, "STATUS=1 stream")
        for _ in range(3):
            told(systemd, "WATCHDOG=1")
        broker.signal(signal.SIGTERM)
        told(systemd, "STOPPING=1")
        assert broker.wait() == 0


def test_a_broker_that_hangs_is_silent(systemd: socket.socket) -> None:
    with Broker(env=environment(systemd)) as broker:
        told(systemd, "READY=1")
        broker.freeze()
        systemd.settimeout(1.0)
        with pytest.raises(TimeoutError):
            told(systemd, "nothing that is ever said")
