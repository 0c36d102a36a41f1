"""Files of keys and certificates that are bad, and secrets that nobody sees."""

import re
from pathlib import Path

import pytest
from support.certificates import Files
from support.processes import Broker, Running
from support.trust import Plant, endless


@pytest.mark.parametrize("who", ["agent", "broker"])
def test_files_that_do_not_fit_start_nothing(who: str, own_plant: Plant, dataset: Path) -> None:
    mixed = Files(own_plant.broker.certificate, own_plant.ca.issue("other").key)
    if who == "broker":
        own_plant.broker = mixed
        arguments = ["broker", "run", "--config", own_plant.broker_toml()]
    else:
        config = own_plant.agent_toml("127.0.0.1:1", "press-1", mixed)
        arguments = ["agent", "run", "--config", config, "--simulate", str(dataset)]
    with Running(arguments) as process:
        assert process.wait() == 2
    assert re.search(rf"{who}: tls.key: .*other.key: does not belong", process.stderr)
    assert "Traceback" not in process.stderr


def test_a_key_that_all_may_read_is_warned_about(own_plant: Plant, dataset: Path) -> None:
    mine = own_plant.ca.issue("press-1")
    for files in (mine, own_plant.broker):
        files.key.chmod(0o644)
    with Broker("--config", own_plant.broker_toml()) as broker:
        broker.wait_for("WARNING tls.key: .*run 'chmod 600' on it")
        config = own_plant.agent_toml(broker.address, "press-1", mine)
        with endless(config, dataset) as agent:
            agent.wait_for("WARNING tls.key: .*run 'chmod 600' on it")


def test_no_secret_is_in_a_log_or_on_a_command_line(own_plant: Plant, dataset: Path) -> None:
    mine = own_plant.ca.issue("press-1")
    secrets = [
        line
        for files in (mine, own_plant.broker)
        for line in files.key.read_text().splitlines()
        if "KEY" not in line
    ]
    with Broker("--config", own_plant.broker_toml('[log]\nlevel = "debug"')) as broker:
        config = Path(own_plant.agent_toml(broker.address, "press-1", mine))
        config.write_text(config.read_text() + '[log]\nlevel = "debug"\n')
        with endless(str(config), dataset) as agent:
            agent.wait_for("sample ", 20)
            shown = "".join(
                Path(f"/proc/{process.pid}/{what}").read_text()
                for process in (agent, broker)
                for what in ("cmdline", "environ")
            )
            assert agent.stop() == 0
        assert broker.stop() == 0
    shown += agent.stdout + agent.stderr + broker.stdout + broker.stderr
    assert len(secrets) >= 4
    assert not [secret for secret in secrets if secret in shown]
