"""`agent status` beside agents as a user runs them."""

import asyncio
import json
import os
import re
import signal
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from support.peers import Peer, scripted_broker
from support.ports import kept_port
from support.processes import PATIENCE_S, Agent, Broker, Running

from agent import status
from agent.config import Settings
from agent.errors import StatusError
from agent.instance import Instance
from quartet.settings import load

SPOOL = '[spool]\ndirectory = "{0}/cold"\nhot_directory = "{0}/hot"\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The configuration of an agent with a spool of its own."""
    for name in ("hot", "cold"):
        (tmp_path / name).mkdir()
    path = tmp_path / "agent.toml"
    path.write_text('[agent]\nid = "press-4"\n' + SPOOL.format(tmp_path))
    return path


@pytest.fixture
def fault(tmp_path: Path) -> Path:
    """A recording in which sensor 2 leaves its level for good."""
    path, rows = tmp_path / "fault.csv", []
    noise = Random(7)  # noqa: S311
    for number in range(40_000):
        levels = (0.1, 0.2 if number < 600 else 0.5, 0.3, 0.4)
        rows.append(",".join(f"{level + noise.gauss(0, 0.01):.4f}" for level in levels))
    path.write_text("\n".join(rows) + "\n")
    return path


def simulate(config: Path, path: Path, broker: str, *more: str) -> Agent:
    return Agent(
        *("--config", str(config), "--simulate", str(path), "--loop"), *("--broker", broker), *more
    )


def ask(*arguments: str) -> tuple[int, str, str]:
    """The exit code of 'agent status', and what it prints."""
    with Running(["agent", "status", *arguments]) as status:
        code = status.wait()
    return code, status.stdout, status.stderr


def asked(config: Path) -> tuple[int, dict[str, Any]]:
    code, text, _ = ask("--config", str(config), "--json")
    return code, json.loads(text)


def until(config: Path, condition: Callable[[dict[str, Any]], Any]) -> tuple[int, dict[str, Any]]:
    """The first answer of which it holds. Each question is a process: they are few."""
    for _ in range(200):
        code, state = asked(config)
        if condition(state):
            return code, state
    raise AssertionError(state)


def test_an_agent_says_how_far_its_predictor_has_learned(config: Path, fault: Path) -> None:
    with Broker() as broker, simulate(config, fault, broker.address) as agent:
        agent.wait_for("sample 12: ")
        code, state = until(config, lambda state: state["learning"])
        assert code == 0
        assert state["is_running"] is True
        assert state["needs_person"] is False
        assert state["agent_id"] == "press-4"
        assert state["link"] == "streaming"
        assert 0 < state["learning"]["seen"] < state["learning"]["needed"]
        code, text, _ = ask("--config", str(config))
        assert code == 0
        assert text.startswith(f"agent press-4: streaming to {broker.address}, learning ")
        assert "prediction        False, of sample " in text
        assert agent.stop() == 0
    assert not (config.parent / "hot" / "status.sock").exists()


def test_an_agent_in_alarm_says_since_when_and_why(config: Path, fault: Path) -> None:
    with Broker() as broker, simulate(config, fault, broker.address, "--rate", "500") as agent:
        broker.wait_for(r"alarm: .*sensor2 \d+%")
        code, state = until(config, lambda state: state["alarm_reason"])
        assert code == 1
        assert re.search(r": sensor2 (9\d|100)%", state["alarm_reason"])
        assert state["prediction"]["value"] is True
        assert state["alarm_since_ns"] <= state["prediction"]["sampled_at_ns"]
        code, text, _ = ask("--config", str(config))
        assert code == 1
        assert f"agent press-4: streaming to {broker.address}, ALARM for " in text
        assert "alarm             ALARM for " in text
        assert "sensor2" in text
        agent.stop()


def test_an_agent_without_a_broker_says_since_when_and_how_much_waits(
    config: Path, fault: Path
) -> None:
    with kept_port() as port, simulate(config, fault, f"127.0.0.1:{port}") as agent:
        agent.wait_for("no connection to ")
        code, state = until(config, lambda state: state["waiting"])
        assert code == 1
        assert state["link"] == "waiting"
        assert state["link_trouble"].startswith("it cannot be reached at ")
        assert state["link_since_ns"] < state["at_ns"]
        code, text, _ = ask("--config", str(config))
        assert code == 1
        assert f"no connection to 127.0.0.1:{port} for " in text
        assert "prediction        none yet" in text
        agent.signal(signal.SIGTERM)
        agent.wait_for("stopping; ")
        agent.signal(signal.SIGTERM)
        agent.wait()
    code, text, _ = ask("--config", str(config))
    assert code == 1
    assert text.startswith(f"no agent runs with the spool in {config.parent}/hot and ")
    assert " there\n" in text
    assert " wait" in text
    code, state = asked(config)
    assert code == 1
    assert state["is_running"] is False
    assert state["waiting"] > 0


async def test_a_plain_broker_is_asked_no_more_and_nobody_notices(
    config: Path, fault: Path
) -> None:
    def watch(port: int) -> None:
        with simulate(config, fault, f"127.0.0.1:{port}") as agent:
            agent.wait_for("sample 12: ")
            _, state = until(config, lambda state: state["prediction"])
            assert state["link"] == "streaming"
            assert state["learning"] is None
            assert state["alarm_reason"] == ""
            assert agent.stop() == 0
        assert "UNIMPLEMENTED" not in agent.stderr

    async with scripted_broker(Peer.echo) as port:
        await asyncio.to_thread(watch, port)


def test_the_agent_of_another_user_cannot_be_asked(config: Path) -> None:
    hot = config.parent / "hot"
    hot.chmod(0)
    settings = load(config, Settings)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)
    try:
        with pytest.raises(StatusError, match=r"run 'sudo agent status'$"):
            status.run(settings, Instance(), as_json=False)
    finally:
        os.seteuid(user)
        hot.chmod(0o700)


def test_an_agent_that_was_killed_leaves_nobody_to_ask_and_the_next_one_answers(
    config: Path, fault: Path
) -> None:
    with Broker() as broker:
        with simulate(config, fault, broker.address) as agent:
            agent.wait_for("sample 2: ")
            agent.kill()
        left = config.parent / "hot" / "status.sock"
        assert stat.S_ISSOCK(left.lstat().st_mode)
        assert asked(config)[1]["is_running"] is False
        with simulate(config, fault, broker.address) as agent:
            agent.wait_for("sample 2: ")
            assert asked(config)[1]["is_running"] is True
            agent.stop()


def test_where_no_agent_has_ever_run_this_is_said(config: Path) -> None:
    code, text, _ = ask("--config", str(config))
    assert code == 1
    assert text.startswith("no agent runs with the spool in ")
    assert "no samples stored" in text
    assert "a simulation" not in text


def test_who_names_no_directories_hears_how_a_simulation_can_be_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for variable in ("RUNTIME_DIRECTORY", "STATE_DIRECTORY"):
        monkeypatch.delenv(variable, raising=False)
    path = tmp_path / "agent.toml"
    path.write_text("")
    code, text, _ = ask("--config", str(path))
    assert code == 1
    assert text.startswith("no agent runs with the spool in /run/agent and /var/lib/agent\n")
    assert text.endswith(" give 'agent run' and 'agent status' the same --config\n")
    assert json.loads(ask("--config", str(path), "--json")[1])["is_running"] is False


def test_a_simulation_with_a_temporary_spool_cannot_be_asked(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("RUNTIME_DIRECTORY", "STATE_DIRECTORY"):
        monkeypatch.delenv(variable, raising=False)
    path = tmp_path / "agent.toml"
    path.write_text(f'[source]\nkind = "replay"\npath = "{dataset}"\n')
    code, _, error = ask("--config", str(path))
    assert code == 1
    assert "its spool is temporary" in error


def test_an_agent_of_another_version_is_named_as_such(config: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(config.parent / "hot" / "status.sock"))
        other.listen()

        def answer() -> None:
            connection, _ = other.accept()
            with connection:
                connection.sendall(b'{"of": "the future"}')

        answering = threading.Thread(target=answer)
        answering.start()
        code, _, error = ask("--config", str(config))
        answering.join(PATIENCE_S)
    assert code == 1
    assert error.startswith("agent: the running agent is of another version: ")
