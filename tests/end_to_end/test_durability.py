"""What is sampled outlives the agent, the outage and, as far as promised, the power."""

import re
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.devices import Device
from support.ports import kept_port
from support.processes import Agent, Broker, Running


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port where nobody listens."""
    with kept_port() as port:
        yield port


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_what_waits_is_sent_by_the_next_start_under_its_own_session(
    end: signal.Signals, device: Device, dataset: Path, free_port: int, tmp_path: Path
) -> None:
    for _ in range(2):
        with device.agent(dataset, free_port, "--loop", "--rate", "200") as agent:
            agent.wait_for("no connection to")
            if end is signal.SIGTERM:
                assert agent.hurry() == 0
                assert "kept for later" in agent.stdout
            else:
                agent.kill()
    table = tmp_path / "predictions.csv"
    with Broker("--predictor", "parity", port=free_port) as broker:
        arguments = ("--rate", "max", "--bare", "--predictions", str(table))
        with device.agent(dataset, broker.port, *arguments) as agent:
            assert agent.wait() == 0
    answered = []
    for session in device.sessions():
        caught = caught_in_memory(session)
        assert caught == 0 or end is signal.SIGKILL
        assert session["answered"] == session["sampled"] - caught > 0
        answered.append(session["answered"])
    assert len(answered) == 3
    assert answered[2] == 982
    ids = list(map(int, re.findall(r" sample (\d+):", agent.stderr)))
    assert ids == [id_ for count in answered for id_ in range(count)]
    assert table.read_text() == "".join(f"{n},{n % 2 == 0:d}\n" for n in range(982))


def test_while_the_link_is_healthy_nothing_is_written_to_the_disk(
    tmp_path: Path, dataset: Path
) -> None:
    device = Device(tmp_path, "spill_after_s = 60")  # more than a busy machine stands still
    with (
        Broker("--predictor", "parity") as broker,
        device.agent(dataset, broker.port, "--loop", "--rate", "max") as agent,
    ):
        agent.wait_for("sample 4000: ")
        device.wait_until_the_disk_is_empty()  # of what the start of a session writes
        before = written(device.cold)
        agent.wait_for(f"sample {latest(agent) + 10_000}: ")
        assert written(device.cold) == before
        agent.signal(signal.SIGTERM)
        assert agent.wait() == 0
    assert device.sessions()[0]["waiting"] == 0


def caught_in_memory(session: dict[str, Any]) -> int:
    """Number of samples at the end of a session that a kill -9 found on their way to the spool."""
    ids = session["fates"].get("unknown (in memory alone at a crash)")
    if ids is None:
        return 0
    assert ids["runs"] == [[session["sampled"] - ids["count"], session["sampled"] - 1]]
    return int(ids["count"])


def latest(agent: Agent) -> int:
    """The latest sample whose prediction is logged."""
    return int(re.findall(r" sample (\d+): ", agent.stderr)[-1])


def written(directory: Path) -> dict[str, tuple[int, int]]:
    """When each file was written last, and its size."""
    return {
        each.name: (each.stat().st_mtime_ns, each.stat().st_size) for each in directory.iterdir()
    }


def test_what_power_takes_from_ram_is_told_and_the_brokers_ledger_resolves_it(
    device: Device, dataset: Path, tmp_path: Path
) -> None:
    store = str(tmp_path / "broker.db")
    with Broker("--predictor", "parity", "--store", store) as broker:
        with device.agent(dataset, broker.port, "--loop", "--rate", "200") as agent:
            agent.wait_for("sample 300: ")
            agent.kill()
        device.cut_power()
        with device.agent(dataset, broker.port, "--rate", "max") as agent:
            assert agent.wait() == 0
    lost, whole = device.sessions()
    assert lost["power_lost"]
    assert (whole["answered"], whole["power_lost"]) == (982, False)
    _, text = device.ledger()
    assert f"unknown (power): all samples from id {lost['sampled']} on" in text
    with Running(["broker", "ledger", "--store", store, "--json"]) as ledger:
        assert ledger.wait() == 0
    (tmp_path / "broker.json").write_text(ledger.stdout)
    code, text = device.ledger("--compare", str(tmp_path / "broker.json"))
    assert code == 0
    assert "unknown here (power), but answered by the broker: " in text


def test_in_a_spool_on_disk_power_takes_nothing(
    tmp_path: Path, dataset: Path, free_port: int
) -> None:
    device = Device(tmp_path, 'durability = "disk"\nspill_after_s = 3600')
    with device.agent(dataset, free_port, "--loop", "--rate", "100") as agent:
        agent.wait_for("no connection to", count=1)
        while not (sampled := kept_on_disk(device)):
            pass
        agent.kill()
    device.cut_power()
    with Broker(port=free_port), device.agent(dataset, free_port, "--rate", "max") as agent:
        assert agent.wait() == 0
    first, _ = device.sessions()
    assert first["answered"] == first["sampled"] >= sampled


def kept_on_disk(device: Device) -> int:
    with sqlite3.connect(f"file:{device.cold / 'spool.db'}?mode=ro", uri=True) as file:
        (count,) = file.execute("SELECT count(*) FROM samples").fetchone()
    file.close()
    return int(count)


def test_a_full_spool_drops_the_oldest_and_the_ledger_names_them(
    tmp_path: Path, dataset: Path, free_port: int
) -> None:
    device = Device(tmp_path, "max_bytes = 65536\nspill_after_s = 0.1")
    room = 65536 // 64
    with device.agent(dataset, free_port, "--loop", "--rate", "1000") as agent:
        agent.wait_for("the spool is full .spool.max_bytes.: the oldest samples are dropped")
        assert agent.hurry() == 1
    (session,) = device.sessions()
    assert session["waiting"] == room
    dropped = session["fates"]["dropped (spool full)"]
    assert dropped["count"] == session["sampled"] - room
    kept, gone = (
        [id_ for first, last in runs for id_ in range(first, last + 1)]
        for runs in (session["waiting_ids"], dropped["runs"])
    )
    assert sorted(kept + gone) == list(range(session["sampled"]))
    # Only what was on its way to the broker when the dropping began is kept before them.
    assert all(id_ > gone[-1] for id_ in kept if id_ > 512)


def test_a_ledger_that_does_not_balance_says_so(
    device: Device, dataset: Path, free_port: int
) -> None:
    with device.agent(dataset, free_port, "--loop") as agent:
        agent.wait_for("no connection to")
        agent.kill()
    with sqlite3.connect(device.cold / "spool.db") as file:
        file.execute("DELETE FROM samples WHERE id = 0")
    file.close()
    code, text = device.ledger()
    assert code == 1
    assert "NOT BALANCED by +1: samples are unaccounted for" in text


def test_the_ledger_is_read_beside_a_running_agent(device: Device, dataset: Path) -> None:
    with (
        Broker("--predictor", "parity") as broker,
        device.agent(dataset, broker.port, "--loop", "--rate", "max") as agent,
    ):
        agent.wait_for("sample 981: ")
        for _ in range(5):
            (session,) = device.sessions()
            assert session["answered"] > 0
            assert not session["ended"]


@pytest.mark.parametrize("tier", ["hot", "cold"])
def test_a_directory_of_a_running_agent_is_refused_and_the_agent_named(
    tier: str, device: Device, dataset: Path, free_port: int, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = Device(tmp_path / "other")
    getattr(other, tier).rmdir()
    getattr(other, tier).symlink_to(getattr(device, tier))
    with device.agent(dataset, free_port, "--loop") as agent:
        agent.wait_for("no connection to")
        with other.agent(dataset, free_port) as second:
            assert second.wait() == 1
    assert f"is in use by process {agent.pid}" in second.stderr
    assert "Traceback" not in second.stderr


@pytest.mark.parametrize(
    ("tier", "setting"), [("hot", "spool.hot_directory"), ("cold", "spool.directory")]
)
def test_a_directory_that_is_missing_is_refused_by_its_setting(
    tier: str, setting: str, device: Device, dataset: Path, free_port: int
) -> None:
    directory = getattr(device, tier)
    directory.rmdir()
    with device.agent(dataset, free_port) as agent:
        assert agent.wait() == 1
    assert (
        f"agent: {setting}: {directory} is not a directory: create it with 'sudo install -d"
        " -o $USER" in agent.stderr
    )


def test_a_ledger_where_no_spool_is_names_where_it_looked(device: Device) -> None:
    code, text = device.ledger()
    assert code == 1
    assert f"no samples stored in {device.cold} and {device.hot}" in text
