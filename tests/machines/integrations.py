"""Notifications, MQTT and metrics by the playbook: they come, they go, and their secrets with them.

One story, in this order: pytest tests/machines/integrations.py (Debian, root).
"""

from collections.abc import Iterator, Mapping

import pytest

from machines.container import Container, wait_until
from machines.hearers import PASSWORD, SECRET, Hearers, listening
from machines.login import free_port
from machines.plant import Plant, show

# Its second sample is an alarm.
_ODD = """
class Odd:
    def predict(self, sample):
        return sample.id >= 1
"""

_UNITS = ("broker", "console", "notify", "mqtt", "agent")
_SECRETS = {
    "/etc/broker/webhook.secret": SECRET,
    "/etc/broker/mqtt.password": PASSWORD,
    "/etc/agent/mqtt.password": PASSWORD,
}


@pytest.fixture(scope="module")
def hearers() -> Iterator[Hearers]:
    with listening() as hearers:
        yield hearers


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """A machine with the broker, and with an agent."""
    with Container("trixie") as machine:
        yield Plant(tmp_path_factory.mktemp("device"), machine, machine)


@pytest.fixture(scope="module")
def metrics() -> Mapping[str, object]:
    """Where each asks to be asked."""
    names = ("broker_metrics_listen", "broker_console_metrics_listen", "agent_metrics_listen")
    return {name: f"127.0.0.1:{free_port()}" for name in names}


@pytest.fixture(scope="module")
def wanted(hearers: Hearers, metrics: Mapping[str, object]) -> Mapping[str, object]:
    """What the inventory asks for."""
    return {
        "broker_predictor": {"use": "odd:Odd"},
        **hearers.of_notify,
        **hearers.of_mqtt,
        "agent_outputs": {"mqtt": hearers.server},
        "agent_mqtt_password": PASSWORD,
        **metrics,
    }


def processes(machine: Container) -> dict[str, str]:
    return {unit: show(machine, unit, "MainPID") for unit in _UNITS}


def test_a_run_that_only_checks_changes_nothing(
    device: Plant, wanted: Mapping[str, object]
) -> None:
    run = device.play("--check", "--diff", **wanted)
    assert run.went_well, run.text
    assert not any(secret in run.text for secret in (SECRET, PASSWORD, "not-for-the-log"))
    device.trixie.run("test", "!", "-e", "/opt/quartet", "-a", "!", "-e", "/etc/agent")


def test_an_alarm_arrives_at_all_who_hear_of_it(
    device: Plant, hearers: Hearers, metrics: Mapping[str, object], wanted: Mapping[str, object]
) -> None:
    machine = device.trixie
    machine.run("mkdir", "-p", "/etc/broker/predictors")
    machine.run("tee", "/etc/broker/predictors/odd.py", input=_ODD)
    run = device.play("--diff", **wanted)
    assert run.went_well, run.text
    assert not any(secret in run.text for secret in (SECRET, PASSWORD, "not-for-the-log"))
    wait_until(lambda: "alarm_begun" in hearers.kinds, 60, "a message")
    for side in ("agent", "broker"):
        topic = f"quartet/{side}/{machine.name}/state"
        assert hearers.mailbox.wait_for_document(topic, lambda said: said["alarm"])
    for address in metrics.values():
        ask = f"import urllib.request as web; print(web.urlopen('http://{address}/metrics').read())"
        assert "quartet_" in machine.run("/usr/bin/python3", "-c", ask)
    for path, content in _SECRETS.items():
        assert machine.run("stat", "--format=%a %U", path) == "600 root\n"
        assert machine.run("cat", path) == content
    assert (
        machine.run("stat", "--format=%a %U %G", "/etc/broker/notify.toml") == "640 root broker\n"
    )


def test_a_second_run_changes_nothing(device: Plant, wanted: Mapping[str, object]) -> None:
    started = processes(device.trixie)
    run = device.play("--diff", **wanted)
    assert run.went_well, run.text
    assert not any(run.changed.values()), run.text
    assert processes(device.trixie) == started


def test_what_is_wrong_is_refused_and_what_ran_runs_on(
    device: Plant, wanted: Mapping[str, object]
) -> None:
    started = processes(device.trixie)
    wrong = {"broker_mqtt_settings": {"adress": "127.0.0.1:1883"}}
    run = device.play("--limit=brokers", **{**wanted, **wrong})
    assert run.failed["trixie"] == 1
    assert "mqtt.adress: unknown key; did you mean 'address'?" in run.text
    assert processes(device.trixie) == started


def test_a_new_secret_counts_at_once_and_restarts_nobody_else(
    device: Plant, wanted: Mapping[str, object]
) -> None:
    """A wrong one here, which the MQTT server refuses."""
    machine = device.trixie
    started = processes(machine)
    run = device.play(
        **{
            **wanted,
            **dict.fromkeys(("broker_mqtt_password", "agent_mqtt_password"), "no such word"),
        }
    )
    assert run.went_well, run.text
    restarted = {unit for unit, pid in processes(machine).items() if pid != started[unit]}
    assert restarted == {"mqtt", "agent"}
    for unit in restarted:
        machine.wait_until("sh", "-c", f"journalctl -u {unit} | grep 'check username'")


def test_they_go_with_their_secrets(device: Plant, wanted: Mapping[str, object]) -> None:
    machine = device.trixie
    rest = {"broker_predictor": wanted["broker_predictor"], "broker_console": False}
    run = device.play(**rest)
    assert run.went_well, run.text
    left = "ls -d /etc/{broker,systemd/system}/{notify,mqtt,console}.* /etc/agent/mqtt* || :"
    assert not machine.run("bash", "-c", left)
    assert not machine.run("bash", "-c", "ls -d /etc/broker/*.{password,secret} || :")
    assert "mqtt.conf" not in machine.run("ls", "/etc/systemd/system/agent.service.d")
    assert "[metrics]" not in machine.run(
        "sh", "-c", "cat /etc/agent/agent.toml /etc/broker/broker.toml"
    )
    for unit in ("notify", "mqtt", "console"):
        assert show(machine, unit, "ActiveState") == "inactive"
    machine.run("test", "-e", "/var/lib/broker/notify.db")
    run = device.play(**rest)
    assert not any(run.changed.values()), run.text
