"""An agent with a list of brokers, and `agent check` and `agent status` with it."""

import json
import socket
from pathlib import Path

import pytest
from support.certificates import Ca
from support.processes import Agent, Broker, Running

from agent.turn import ranked
from quartet.address import Address


@pytest.fixture
def config(tmp_path: Path) -> Path:
    for name in ("hot", "cold"):
        (tmp_path / name).mkdir()
    path = tmp_path / "agent.toml"
    path.write_text(
        f'[agent]\nid = "press-4"\n[spool]\ndirectory = "{tmp_path}/cold"\n'
        f'hot_directory = "{tmp_path}/hot"\n'
    )
    return path


def state(config: Path) -> dict[str, str]:
    with Running(["agent", "status", "--config", str(config), "--json"]) as asking:
        asking.wait()
    found: dict[str, str] = json.loads(asking.stdout)
    return found


def test_an_agent_whose_broker_is_killed_streams_to_the_next_one(
    config: Path, dataset: Path
) -> None:
    with Broker() as one, Broker() as two, Broker() as three:
        brokers = {each.address: each for each in (one, two, three)}
        order = [
            str(each) for each in ranked("press-4", [Address.parse(text, "") for text in brokers])
        ]
        listed = ("--broker", f"{one.address}, {two.address}", "--broker", three.address)
        simulated = ("--simulate", str(dataset), "--loop", "--rate", "100")
        with Agent("--config", str(config), *simulated, *listed) as agent:
            agent.wait_for(rf"streaming to {order[0]}$")
            found = state(config)
            assert (found["broker"], found["home"]) == (order[0], order[0])
            brokers[order[0]].kill()
            agent.wait_for(rf"no connection to {order[0]} .*, next at {order[1]}$")
            agent.wait_for(rf"streaming to {order[1]}, after \d")
            found = state(config)
            assert (found["broker"], found["home"]) == (order[1], order[0])
            with Running(["agent", "status", "--config", str(config)]) as asking:
                asking.wait()
            away = f"{order[1]}, away from its home {order[0]}"
            assert asking.stdout.startswith(f"agent press-4: streaming to {away}, ")
            assert f"broker            {away}\n" in asking.stdout
            assert agent.stop() == 0
    assert "reconnects        1" in agent.stdout


def test_each_of_forty_brokers_is_checked_and_told_in_the_order_of_the_list(config: Path) -> None:
    silent = [socket.socket() for _ in range(38)]
    try:
        for each in silent:
            each.bind(("127.0.0.1", 0))  # nobody else gets the port, and nobody listens
        with Broker() as broker:
            listed = [f"127.0.0.1:{each.getsockname()[1]}" for each in silent]
            listed += [broker.address, "no-such-host.invalid:8061"]
            with config.open("a") as file:
                file.write(f"[broker]\ninsecure = true\naddress = {json.dumps(listed)}\n")
            arguments = ["agent", "check", "--virtual", "--json", "--config", str(config)]
            with Running(arguments) as check:
                assert check.wait() == 1
    finally:
        for each in silent:
            each.close()
    found = [each for each in json.loads(check.stdout) if each["check"] == "broker"]
    assert [each["outcome"] for each in found] == [*(["failed"] * 38), "passed", "failed"]
    assert [each["detail"].split()[0].rstrip(":") for each in found] == listed
    assert "check the name in broker.address" in found[-1]["remedy"]


def test_the_check_says_which_name_is_missing_in_which_certificate(
    config: Path, tmp_path: Path
) -> None:
    ca = Ca(tmp_path, "ca")
    options = []
    for name, names in (("right", ("127.0.0.1",)), ("wrong", ("elsewhere",))):
        files = ca.issue(name, names)
        path = tmp_path / f"{name}.toml"
        path.write_text(
            f'[tls]\ncertificate = "{files.certificate}"\nkey = "{files.key}"\n'
            "require_client_certificate = false\n"
        )
        options.append(("--config", str(path)))
    with Broker(*options[0]) as right, Broker(*options[1]) as wrong:
        with config.open("a") as file:
            file.write(f'[broker]\naddress = ["{wrong.address}", "{right.address}"]\n')
            file.write(f'[tls]\nca = "{ca.path}"\n')
        with Running(["agent", "check", "--virtual", "--config", str(config)]) as check:
            assert check.wait() == 1
    assert f"{wrong.address}: its certificate is for other names than that in broker.address" in (
        check.stdout
    )
    assert f"{right.address} answers by TLS" in check.stdout


@pytest.mark.parametrize(
    ("listed", "told"),
    [
        ('["b1:8061", "b2:8061", "B1:8061"]', "broker.address[2]: B1:8061 is in the list twice"),
        ("[]", "broker.address: the list is empty"),
        ('["b1:8061", "b2"]', "broker.address[1]: expected HOST:PORT"),
        ('["127.0.0.1:1", "b2:2"]', "broker.address: b2:2 is another machine"),
        ("[8061]", "broker.address[0]: expected text in quotes, got 8061"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused_with_the_place(
    config: Path, listed: str, told: str, dataset: Path
) -> None:
    with config.open("a") as file:
        file.write(f"[broker]\naddress = {listed}\n")
    run = ["agent", "run", "--config", str(config), "--simulate", str(dataset)]
    with Running(run) as running:
        assert running.wait() == 2
    assert told in running.stderr
