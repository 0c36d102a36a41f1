"""A broker that is known as `brokerpi.local` alone; `make interop` alone runs it.

A test fails where the program that it needs is not installed, and names the package.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes import Running

from interop.lan import Machine, connect, need_root
from interop.ways import PARITY, need

_MDNS = "files mdns4_minimal [NOTFOUND=return] dns"
_DNS = "files dns"

_CONFIG = """
[agent]
id = "press-1"
[broker]
address = "brokerpi.local:{port}"
insecure = true
[source]
kind = "replay"
path = "{recording}"
[sampling]
rate_hz = "max"
"""

ROWS = 50

_AGENT = (sys.executable, "-m", "agent")


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Machine]:
    """The broker's machine."""
    need_root()
    need("avahi-daemon", "avahi-daemon", "libnss-mdns", "iproute2")
    with Machine.up(tmp_path / "brokerpi", _MDNS) as machine:
        yield machine


@pytest.fixture
def port(there: Machine) -> Iterator[int]:
    """Of the broker there."""
    command = ["broker", "run", "--listen", "0.0.0.0:0", "--insecure", *PARITY]
    with Running(command, under=there.inside) as broker:
        yield int(broker.wait_for(r"listening on 0\.0\.0\.0:(\d+)")[0])


def _configured(folder: Path, port: int) -> Path:
    recording, config = folder / "rows.csv", folder / "agent.toml"
    recording.write_text("".join(f"{n},0.1,0.1,0.1,0.1\n" for n in range(ROWS)))
    config.write_text(_CONFIG.format(port=port, recording=recording))
    return config


def _doctor(machine: Machine, config: Path) -> str:
    told = machine.call(*_AGENT, "check", "--config", str(config))
    return told[told.index(" broker ") :]


def test_a_name_of_mdns_is_reached_by_agent_and_doctor(
    there: Machine, port: int, tmp_path: Path
) -> None:
    config, out = _configured(tmp_path, port), tmp_path / "predictions.csv"
    with Machine.up(tmp_path / "agentpi", _MDNS) as here:
        connect(here, there)
        with there.avahi("brokerpi"), here.avahi("agentpi"):
            here.knows("brokerpi.local")
            told = _doctor(here, config)
            here.call(*_AGENT, "run", "--config", str(config), "--predictions", str(out))
    assert f"brokerpi.local:{port} answers, and would admit press-1" in told
    assert len(out.read_text().splitlines()) == 1 + ROWS


def test_without_mdns_the_doctor_names_what_finds_such_names(
    there: Machine, port: int, tmp_path: Path
) -> None:
    config = _configured(tmp_path, port)
    with Machine.up(tmp_path / "agentpi", _DNS) as here:
        connect(here, there)
        with there.avahi("brokerpi"):
            told = _doctor(here, config)
    assert f"brokerpi.local:{port}: the name brokerpi.local is not found" in told
    assert "avahi-daemon and libnss-mdns" in told
