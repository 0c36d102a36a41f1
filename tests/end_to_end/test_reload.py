"""SIGHUP, as `systemctl reload` sends it: what is taken while running, and what waits."""

import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.patience import PATIENCE_S
from support.processes import Agent, Broker, Running
from support.trust import Plant

ALARM = "[outputs.alarm]\npin = 17\non_after = {on_after}\nttl_s = {ttl_s}\n"


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    return Plant(tmp_path)


@pytest.fixture
def config(tmp_path: Path, dataset: Path) -> Path:
    path = tmp_path / "agent.toml"
    source = f'[source]\nkind = "replay"\npath = "{dataset}"\nloop = true\n'
    path.write_text(f"{source}[sampling]\nrate_hz = 100.0\n{ALARM.format(on_after=1, ttl_s=10.0)}")
    return path


@pytest.fixture
def agent(config: Path) -> Iterator[Agent]:
    with (
        Broker() as broker,
        Agent(
            *("--config", str(config), "--broker", broker.address),
            env={"GPIOZERO_PIN_FACTORY": "mock"},
        ) as agent,
    ):
        agent.wait_for("sample 3: ")
        yield agent


def edit(path: Path, *changes: tuple[str, str]) -> None:
    text = path.read_text()
    for former, latest in changes:
        assert former in text
        text = text.replace(former, latest)
    path.write_text(text)


def test_an_agent_takes_log_level_and_alarm_times(agent: Agent, config: Path) -> None:
    config.write_text(config.read_text() + '[log]\nlevel = "debug"\n')
    edit(config, ("on_after = 1", "on_after = 100000"), ("ttl_s = 10.0", "ttl_s = 20.0"))
    agent.signal(signal.SIGHUP)
    agent.wait_for("reloaded: outputs.alarm.on_after, outputs.alarm.ttl_s, log.level")
    agent.signal(signal.SIGHUP)
    agent.wait_for("reloaded: no change")
    assert "is taken at a restart" not in agent.stderr
    assert agent.stop() == 0


def test_what_needs_a_restart_is_named_each_time(agent: Agent, config: Path) -> None:
    edit(config, ("rate_hz = 100.0", "rate_hz = 50.0"), ("pin = 17", "pin = 18"))
    for count in (1, 2):
        agent.signal(signal.SIGHUP)
        agent.wait_for("WARNING sampling.rate_hz: changed; restart to use it", count)
        agent.wait_for("WARNING outputs.alarm.pin: changed; restart to use it", count)
    assert agent.stop() == 0


@pytest.mark.parametrize(
    ("former", "latest", "reason"),
    [
        ("pin = 17", "pin = 28", "outputs.alarm.pin: expected a whole number from 0 to 27"),
        ("ttl_s = 10.0", "ttl_s = 10.0 s", "is not TOML"),
        # Together with a rate that is not taken before a restart.
        ("rate_hz = 100.0", "rate_hz = 0.01", "outputs.alarm.ttl_s: 10 s is too short"),
    ],
)
def test_a_configuration_that_is_wrong_changes_nothing(
    agent: Agent, config: Path, former: str, latest: str, reason: str
) -> None:
    edit(config, (former, latest), ("on_after = 1", "on_after = 3"))
    agent.signal(signal.SIGHUP)
    (line,) = agent.wait_for("ERROR .*the old configuration stays in use")
    assert reason in line
    assert "reloaded" not in agent.stderr
    assert agent.stop() == 0


def test_certificates_are_taken_at_once(plant: Plant, dataset: Path) -> None:
    former, latest = plant.ca.issue("press-1"), plant.ca.issue("latest", ["press-1"])
    with Broker("--config", plant.broker_toml()) as broker:
        config = plant.agent_toml(broker.address, "press-1", former)
        with Agent("--config", config, "--simulate", str(dataset), "--loop") as agent:
            agent.wait_for("sample 3: ")
            shutil.copy(latest.certificate, former.certificate)
            shutil.copy(latest.key, former.key)
            agent.signal(signal.SIGHUP)
            lines = agent.wait_for("certificates reloaded") and agent.stderr.splitlines()
            told = [at for at, line in enumerate(lines) if "reloaded" in line]
            assert told[1] - told[0] == 1  # not by the look that comes each 5 s
            assert agent.stop() == 0


def test_a_broker_takes_its_list_of_agents_and_cuts_off_who_is_not_in_it(
    tmp_path: Path, dataset: Path
) -> None:
    config = tmp_path / "broker.toml"
    config.write_text('[access]\nagents = ["press-1", "press-2"]\n')
    agents = {name: tmp_path / f"{name}.toml" for name in ("press-1", "press-2", "press-3")}
    for name, path in agents.items():
        path.write_text(f'[agent]\nid = "{name}"\n[link]\nbackoff_max_s = 0.5\n')
    with Broker("--config", str(config)) as broker:

        def start(name: str) -> Agent:
            more = ("--simulate", str(dataset), "--loop", "--broker", broker.address)
            return Agent("--config", str(agents[name]), *more)

        with start("press-1") as one, start("press-2") as two, start("press-3") as three:
            one.wait_for("sample 3: ")
            two.wait_for("sample 3: ")
            three.wait_for("PERMISSION_DENIED")
            config.write_text('[access]\nagents = ["press-2", "press-3"]\n')
            broker.signal(signal.SIGHUP)
            broker.wait_for("press-1 at .* is cut off: press-1 is not in access.agents")
            one.wait_for("PERMISSION_DENIED")
            two.wait_for("sample 30: ")
            assert "PERMISSION_DENIED" not in two.stderr
            broker.signal(signal.SIGHUP)
            broker.wait_for("reloaded: no change")
            config.write_text('[predictor]\nuse = "parity"\n')
            broker.signal(signal.SIGHUP)
            broker.wait_for("predictor.use: changed; restart to use it")
            config.write_text('[acess]\nagents = ["press-1"]\n')
            broker.signal(signal.SIGHUP)
            broker.wait_for("acess: unknown key; did you mean 'access'")


def test_systemd_is_told_that_it_reloads_and_when_it_has(config: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(PATIENCE_S)
        environment = {
            "NOTIFY_SOCKET": systemd.getsockname(),
            "GPIOZERO_PIN_FACTORY": "mock",
        }

        def told(*wanted: str) -> str:
            while not (notice := systemd.recv(4096).decode()).startswith(wanted):
                pass
            return notice

        with Agent("--config", str(config), env=environment) as agent:
            told("READY=1")
            agent.signal(signal.SIGHUP)
            assert told("RELOADING=1", "READY=1").startswith("RELOADING=1\nMONOTONIC_USEC=")
            told("READY=1")


def test_without_a_configuration_a_hangup_keeps_its_meaning(dataset: Path) -> None:
    with Broker() as broker:
        simulation = ("--simulate", str(dataset), "--loop", "--broker", broker.address)
        with Agent(*simulation) as agent:
            agent.wait_for("sample 3: ")
            agent.signal(signal.SIGHUP)
            assert agent.wait() == -signal.SIGHUP
        broker.signal(signal.SIGHUP)
        assert broker.wait() == -signal.SIGHUP


def test_what_was_started_by_nohup_survives_a_hangup(dataset: Path) -> None:
    with Broker(under=["nohup"]) as broker:
        broker.signal(signal.SIGHUP)
        simulation = ("--simulate", str(dataset), "--loop", "--broker", broker.address)
        with Agent(*simulation, under=["nohup"]) as agent:
            agent.wait_for("sample 3: ")
            agent.signal(signal.SIGHUP)
            answered = agent.stderr.count(" sample ")
            agent.wait_for(" sample ", answered + 3)
            assert agent.stop() == 0
            assert "configuration" not in agent.stderr
        assert broker.stop() == 0


def test_by_nohup_and_with_a_configuration_it_is_a_reload(config: Path, tmp_path: Path) -> None:
    brokers = tmp_path / "broker.toml"
    brokers.write_text('[log]\nlevel = "info"\n')
    with (
        Broker("--config", str(brokers), under=["nohup"]) as broker,
        Agent(
            *("--config", str(config), "--broker", broker.address),
            env={"GPIOZERO_PIN_FACTORY": "mock"},
            under=["nohup"],
        ) as agent,
    ):
        agent.wait_for("sample 3: ")
        for each in (agent, broker):
            each.signal(signal.SIGHUP)
            each.wait_for("configuration reloaded: no change")
        assert agent.stop() == 0
        assert broker.stop() == 0


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (("pin = 17", "pin = 17"), 0, "the configuration is right"),
        (("pin = 17", "pin = 28"), 2, "outputs.alarm.pin: expected a whole number from 0 to 27"),
    ],
)
def test_a_configuration_is_checked_without_a_start(
    config: Path, change: tuple[str, str], code: int, said: str
) -> None:
    edit(config, change)
    with Running(["agent", "run", "--config", str(config), "--check"]) as run:
        assert run.wait() == code
        assert said in run.stdout + run.stderr


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("", 0, "the configuration is right"),
        ('[predictor]\nuse = "none"\n', 2, "none"),
        ('[tls]\ncertificate = "a"\nkey = "b"\n', 2, "client_ca: missing"),
    ],
)
def test_so_is_a_brokers(tmp_path: Path, text: str, code: int, said: str) -> None:
    config = tmp_path / "broker.toml"
    config.write_text(text)
    with Running(["broker", "run", "--config", str(config), "--check"]) as run:
        assert run.wait() == code
        assert said in run.stdout + run.stderr
