"""A spool's directories fill up or go away while broker and link are well."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.devices import Device
from support.processes import Agent, Broker, Running

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")


def mount(directory: Path, size: str) -> None:
    options = f"size={size},nr_inodes=40"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", directory], check=True)


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    """One with two file systems that are small."""
    device = Device(tmp_path)
    mount(device.hot, "256k")
    mount(device.cold, "16m")
    yield device
    for directory in (device.hot, device.cold):
        while os.path.ismount(directory):
            subprocess.run(["umount", "--lazy", directory], check=True)


def fill(directory: Path) -> None:
    with (directory / "filler").open("ab", buffering=0) as filler, contextlib.suppress(OSError):
        while filler.write(b"x" * 4096):
            pass


def fill_inodes(directory: Path) -> None:
    for number in range(1000):
        try:
            (directory / f"filler-{number}").touch()
        except OSError:
            return


def remove(directory: Path) -> None:
    with contextlib.suppress(FileNotFoundError):  # by the agent at the same time
        for path in directory.iterdir():
            path.unlink()
    subprocess.run(["umount", "--lazy", directory], check=True)
    # At once, as the agent makes its files again where the mount was.
    shutil.rmtree(directory.rename(directory.with_name(f"{directory.name}-removed")))


def give_back(directory: Path) -> None:
    for path in directory.glob("filler*"):
        path.unlink()


def samples_go_on(agent: Agent, latest: int) -> None:
    """Wait until later samples have their prediction, more than fit into a window."""
    agent.wait_for(f"sample {latest + 1000}: ")


def hot_alone(spoil: Callable[[Path], None]) -> Callable[[Device], None]:
    return lambda device: spoil(device.hot)


def both(spoil: Callable[[Path], None]) -> Callable[[Device], None]:
    def spoil_both(device: Device) -> None:
        spoil(device.cold)
        spoil(device.hot)

    return spoil_both


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (hot_alone(fill), "every sample is now written to the disk at once"),
        (hot_alone(remove), "every sample is now written to the disk at once"),
        (hot_alone(fill_inodes), "sample 600: "),  # the files are open: it is met at the start
        (both(fill), "samples are sent from memory"),
        (both(remove), "samples are sent from memory"),
    ],
    ids=["full", "removed", "no inodes", "both full", "both removed"],
)
def test_predictions_go_on_and_after_a_kill_the_ledgers_agree(
    spoil: Callable[[Device], None], told: str, device: Device, dataset: Path, tmp_path: Path
) -> None:
    store = str(tmp_path / "broker.db")
    with Broker("--predictor", "parity", "--store", store) as broker:
        with device.agent(dataset, broker.port, "--loop", "--rate", "400") as agent:
            agent.wait_for("sample 300: ")
            spoil(device)
            agent.wait_for(told)
            samples_go_on(agent, 1000)
            for directory in (device.hot, device.cold):
                if not directory.exists():
                    directory.mkdir()
                    agent.wait_for(f"{directory}.*: (takes the samples|can be written) again")
            agent.kill()
        with device.agent(dataset, broker.port, "--rate", "400") as agent:
            assert agent.wait() == 0, agent.stderr[-3000:]
        give_back(device.hot)
        give_back(device.cold)
        with device.agent(dataset, broker.port, "--rate", "max") as agent:
            assert agent.wait() == 0
    with Running(["broker", "ledger", "--store", store, "--json"]) as ledger:
        assert ledger.wait() == 0
    (tmp_path / "broker.json").write_text(ledger.stdout)
    code, text = device.ledger("--compare", str(tmp_path / "broker.json"))
    assert code == 0, text
    assert "balanced" in text
