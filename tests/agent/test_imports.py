"""What an agent imports on a device, beside gRPC: each module costs memory and time at a start."""

import subprocess
import sys
from pathlib import Path

import pytest

# Of the standard library, each of some 0.2 to 3 MB with what it imports.
SPARED = {
    *("bz2", "cmd", "difflib", "email", "fractions", "hashlib", "hmac", "http", "lzma", "pdb"),
    *("html", "importlib.metadata", "importlib.resources", "secrets", "shutil", "statistics"),
    *("tempfile", "unittest", "xml", "zipfile"),
}

# Each optional, or of another command.
OTHERS = {
    *("adafruit_ads1x15", "cryptography", "gpiozero", "numpy", "rich", "tomlkit", "uvloop", "h2"),
    *("agent.calibrate", "agent.check", "agent.ledger", "agent.status", "agent.sources.replay"),
    *("agent.sources.virtual", "agent.spool.compare", "agent.spool.ledger", "quartet.completion"),
    *("broker", "quartet.certificates", "quartet.example", "quartet.launch", "quartet.recording"),
}

# Our own, with the packages: what is more must be worth it.
MOST_OF_OURS = 109


MQTT = """
agent.id = "pump-1"
[outputs.mqtt]
address = "127.0.0.1:1"
"""

# Of archives: of a recording that is one alone.
ARCHIVES = {"bz2", "lzma", "shutil", "zipfile"}


def modules(*imports: str, then: str = "pass") -> set[str]:
    code = f"import sys, {', '.join(imports)}; {then}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {*done.stdout.split()}


def test_an_agent_imports_what_it_needs_and_no_more() -> None:
    of_grpc = modules("grpc", "wire.databroker_pb2")
    parsed = "agent.__main__.parser().parse_args(['run'])"
    of_agent = modules("agent.__main__", "agent.app", then=parsed) - of_grpc
    assert not of_agent & (SPARED | OTHERS)
    ours = {each for each in of_agent if each.partition(".")[0] in {"agent", "quartet", "wire"}}
    assert len(ours) <= MOST_OF_OURS, sorted(ours)


def test_a_replay_imports_no_archives() -> None:
    opened = "quartet.recording.text.Lines(pathlib.Path('/dev/null'))"
    imported = modules("pathlib", "agent.sources.replay", "quartet.recording.text", then=opened)
    assert not imported & ARCHIVES


@pytest.mark.parametrize("config", ["", MQTT])
def test_an_agent_has_pythons_own_tls_only_for_mqtt(config: str, tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(config, "utf-8")
    arguments = ["run", "--config", str(path), "--simulate", str(tmp_path / "missing.csv")]
    code = (
        f"import agent.__main__, sys; assert agent.__main__.main({arguments}) == 1;"
        " import asyncio; print('_ssl' in sys.modules, asyncio.sslproto.ssl is not None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(bool(config))] * 2
