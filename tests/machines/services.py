"""The units on real systemd, deployed by the playbook: faults, a reboot, the sandbox.

pytest tests/machines/services.py (Debian, root).
"""

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from machines.container import Container, wait_until
from machines.hearers import PASSWORD, SECRET, Hearers, listening
from machines.login import free_port
from machines.plant import Plant, agree, ledger, predictions, show, waiting
from machines.sandbox import drop_in, probe

# What no service has any business with, and as whom it tries.
_NOBODYS = {
    "user": "str(os.getuid())",
    "home": "os.listdir('/home/pi')",
    "packets": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()",
    "namespace": "subprocess.getoutput('unshare --user true')",
    "processes": "'others' if os.path.exists('/proc/1/exe') else 'own alone'",
}
_REFUSED = {
    "home": "Permission denied",
    "packets": "Address family not supported by protocol",
    "namespace": "unshare: unshare failed: Operation not permitted",
    "processes": "own alone",
}


@pytest.fixture(scope="module")
def hearers() -> Iterator[Hearers]:
    with listening() as hearers:
        yield hearers


@pytest.fixture(scope="module", autouse=True)
def deployed(plant: Plant, hearers: Hearers) -> None:
    run = plant.play(**hearers.of_notify, **hearers.of_mqtt)
    assert run.went_well, run.text


def goes_on(machine: Container) -> None:
    """Wait for a prediction that was not there before."""
    count = len(predictions(machine))
    wait_until(lambda: len(predictions(machine)) > count, 60, "predictions go on")


def all_agree(plant: Plant, machine: Container) -> None:
    wait_until(lambda: agree(plant.trixie, machine), 90, "the ledgers agree")


def logged_once(machine: Container) -> set[tuple[str, str]]:
    """Session and id of each prediction; each is there, and none with two values."""
    entries = predictions(machine)
    values = {(each["SESSION_ID"], each["SAMPLE_ID"], each["PREDICTION"]) for each in entries}
    keys = {(session, id_) for session, id_, _ in values}
    assert len(keys) == len(values)
    return keys


def latest_session(machine: Container) -> dict[str, Any]:
    """What the ledger of its agent says of the latest session."""
    session: dict[str, Any] = json.loads(ledger(machine, "agent", "--json"))["sessions"][-1]
    return session


def test_verify_is_silent_and_the_exposure_is_what_we_say(machine: Container) -> None:
    exposures = {"agent": 15, "broker": 10, "console": 10, "mqtt": 11, "notify": 11}
    for unit, most in exposures.items():
        if machine.name == "bookworm" and unit != "agent":
            continue
        path = f"/etc/systemd/system/{unit}.service"
        verify = f"systemd-analyze verify {path} 2>&1"
        assert not machine.run("sh", "-c", verify)
        machine.run("systemd-analyze", "security", f"--threshold={most}", f"{unit}.service")
        assert show(machine, unit, "WatchdogUSec") == "30s"


def test_every_prediction_is_in_the_journal(machine: Container) -> None:
    machine.run("systemctl", "stop", "agent")
    machine.run("journalctl", "--sync")
    session = latest_session(machine)
    ids = {int(id_) for of, id_ in logged_once(machine) if of == session["session_id"]}
    machine.run("systemctl", "start", "agent")
    assert session["answered"] > 10
    assert ids == set(range(session["sampled"]))
    goes_on(machine)


def test_it_comes_back_when_it_is_killed_with_all_that_waited(
    plant: Plant, machine: Container
) -> None:
    plant.trixie.run("systemctl", "stop", "broker")
    try:
        wait_until(lambda: waiting(machine) > 20, 60, "samples wait, some of them in RAM alone")
        former, pid = latest_session(machine), show(machine, "agent", "MainPID")
        machine.run("kill", "-9", pid)
        wait_until(lambda: show(machine, "agent", "MainPID") not in {"0", pid}, 60, "another one")
    finally:
        plant.trixie.run("systemctl", "start", "broker")
    machine.wait_until("systemctl", "is-active", "agent")
    goes_on(machine)
    all_agree(plant, machine)
    wait_until(lambda: waiting(machine) < 20, 60, "what waited is answered")
    ids = {int(id_) for of, id_ in logged_once(machine) if of == former["session_id"]}
    assert ids >= set(range(former["sampled"]))


def test_samples_of_an_outage_are_answered_after_it(plant: Plant, hearers: Hearers) -> None:
    plant.trixie.run("systemctl", "stop", "broker")
    pids = [show(machine, "agent", "MainPID") for machine in plant.machines]
    for machine in plant.machines:
        wait_until(lambda m=machine: waiting(m) > 400, 120, "samples wait")
    plant.trixie.run("systemctl", "start", "broker")
    for machine, pid in zip(plant.machines, pids, strict=True):
        wait_until(lambda m=machine: waiting(m) < 20, 60, "what waited is answered")
        all_agree(plant, machine)
        assert show(machine, "agent", "MainPID") == pid
    told = {"recorder_fails", "recorder_works"}
    wait_until(lambda: hearers.kinds >= told, 60, "the webhook is told of it")


def test_a_broker_that_is_killed_costs_nothing(plant: Plant) -> None:
    plant.trixie.run("kill", "-9", show(plant.trixie, "broker", "MainPID"))
    plant.trixie.wait_until("systemctl", "is-active", "broker", timeout_s=60)
    for machine in plant.machines:
        goes_on(machine)
        all_agree(plant, machine)


def test_a_thread_that_hangs_is_found_by_the_watchdog(machine: Container) -> None:
    """A file that gives nothing hangs the bus thread; the loop goes on."""
    run = "/opt/quartet/agent/current/bin/agent run --config /etc/agent/agent.toml --simulate hang"
    rows = 'printf "1,2,3,4\\\\n2,3,4,5\\\\n"; sleep 600'
    with drop_in(
        machine,
        "agent",
        "WatchdogSec=3\nExecStartPre=/bin/sh -c 'test -p hang || mkfifo hang'\n"
        f"ExecStart=\nExecStart=/bin/sh -c '({rows}) >hang & exec {run}'",
    ):
        wait_until(lambda: int(show(machine, "agent", "NRestarts")) > 0, 60, "a restart")
        said = machine.run("journalctl", "--unit=agent", "--output=cat", "--lines=200")
        assert "Watchdog timeout" in said
    goes_on(machine)


def test_what_was_promised_is_there_after_a_reboot(plant: Plant, machine: Container) -> None:
    former = logged_once(machine)
    machine.reboot()
    machine.wait_until("systemctl", "is-active", "agent", timeout_s=60)
    goes_on(machine)
    assert logged_once(machine) >= former  # the journal is persistent here
    all_agree(plant, machine)


def test_a_reload_takes_what_it_can_and_refuses_what_is_wrong(machine: Container) -> None:
    config, pid = "/etc/agent/agent.toml", show(machine, "agent", "MainPID")
    machine.run("cp", "-a", config, "/srv/agent.toml")
    try:
        machine.run("sh", "-c", f"printf '[log]\\nlevel = \"debug\"\\n' >>{config}")
        machine.run("systemctl", "reload", "agent")
        machine.wait_until("sh", "-c", "journalctl -u agent | grep 'reloaded: log.level'")
        machine.run("sh", "-c", f"echo 'colour = \"red\"' >>{config}")
        with pytest.raises(subprocess.CalledProcessError):
            machine.run("systemctl", "reload", "agent")
        assert "log.colour: unknown key" in machine.run("journalctl", "--unit=agent")
    finally:
        machine.run("cp", "-a", "/srv/agent.toml", config)
    machine.run("systemctl", "reload", "agent")
    assert show(machine, "agent", "MainPID") == pid


def test_a_configuration_that_is_wrong_is_not_tried_again(machine: Container) -> None:
    run = "/opt/quartet/agent/current/bin/agent run --rate never"
    with drop_in(machine, "agent", f"ExecStart=\nExecStart={run}\nRestartSec=0"):
        machine.wait_until("systemctl", "is-failed", "agent")
        assert show(machine, "agent", "NRestarts") == "0"
    assert "got 'never'" in machine.run("journalctl", "--unit=agent")
    goes_on(machine)


def test_the_sandbox_refuses_what_the_agent_has_no_business_with(machine: Container) -> None:
    asked = {
        **_NOBODYS,
        "state": "open('/var/lib/agent/probe', 'w').close()",
        "lock": "open('/run/lock/quartet-probe', 'w').close()",
        "etc": "open('/etc/agent/probe', 'w').close()",
        "key": "open('/etc/agent/agent.key').close()",
        "copy of key": "open(os.environ['CREDENTIALS_DIRECTORY'] + '/agent.key').read(27)",
        "bus": "os.close(os.open('/dev/i2c-1', os.O_RDWR))",
        "other device": "os.close(os.open('/dev/i2c-2', os.O_RDWR))",
    }
    # char-i2c is what the unit allows; these machines have no such driver.
    found = probe(machine, "agent", asked, "DeviceAllow=/dev/i2c-1 rw")
    assert found.pop("user") != "0"
    assert found == {
        **_REFUSED,
        "state": "done",
        "lock": "done",
        "etc": "Read-only file system",
        "key": "Permission denied",
        "copy of key": "-----BEGIN PRIVATE KEY-----",
        "bus": "done",
        "other device": "Operation not permitted",
    }


@pytest.mark.parametrize(
    ("unit", "secret", "content"),
    [("notify", "webhook.secret", SECRET), ("mqtt", "mqtt.password", PASSWORD)],
    ids=["notify", "mqtt"],
)
def test_who_tells_others_listens_nowhere_and_has_a_copy_of_its_secret(
    unit: str, secret: str, content: str, plant: Plant
) -> None:
    asked = {
        **_NOBODYS,
        "state": "open('/var/lib/broker/probe', 'w').close()",
        "etc": "open('/etc/broker/probe', 'w').close()",
        "secret": f"open('/etc/broker/{secret}').close()",
        "copy of secret": f"open(os.environ['CREDENTIALS_DIRECTORY'] + '/{secret}').read()",
        "listen": f"socket.socket().bind(('127.0.0.1', {free_port()}))",
        "connect": f"socket.create_connection(('127.0.0.1', {plant.trixie.login.port})).close()",
        "device": "os.close(os.open('/dev/i2c-1', os.O_RDWR))",
    }
    found = probe(plant.trixie, unit, asked)
    assert found.pop("user") != "0"
    assert found == {
        **_REFUSED,
        "state": "done",
        "etc": "Read-only file system",
        "secret": "Permission denied",
        "copy of secret": content,
        "listen": "Operation not permitted",
        "connect": "done",
        "device": "No such file or directory",
    }


def test_an_mqtt_server_hears_of_all_agents_and_of_a_stop(plant: Plant, hearers: Hearers) -> None:
    broker, mailbox = plant.trixie, hearers.mailbox
    for machine in plant.machines:
        mailbox.wait_for(f"quartet/broker/{machine.name}/status", lambda said: said == b"online")
        topic = f"quartet/broker/{machine.name}/state"
        assert mailbox.wait_for_document(topic)["sensor1"] is not None
    broker.run("systemctl", "stop", "mqtt")
    assert show(broker, "mqtt", "Result") == "success"
    mailbox.wait_for("quartet/status", lambda said: said == b"offline")
    broker.run("systemctl", "start", "mqtt")
    mailbox.wait_for("quartet/status", lambda said: said == b"online")


@pytest.mark.parametrize("unit", ["notify", "mqtt"])
def test_who_tells_others_is_the_brokers_guest(unit: str, plant: Plant) -> None:
    broker = plant.trixie
    assert show(broker, unit, "User") == "broker"
    assert show(broker, unit, "CPUWeight") == "20"
    pid = show(broker, unit, "MainPID")
    assert broker.run("ps", "-o", "ni=", "-p", pid).strip() == "10"
    broker.run("kill", "-9", pid)
    wait_until(lambda: show(broker, unit, "MainPID") not in {"0", pid}, 60, "another one")
    broker.wait_until("systemctl", "is-active", unit, timeout_s=60)
    said = broker.run("journalctl", f"--unit={unit}", "--output=cat")
    assert "Traceback" not in said
    assert not any(secret in said for secret in (SECRET, PASSWORD, "not-for-the-log"))


def test_the_console_shows_all_machines_and_is_the_brokers_guest(plant: Plant) -> None:
    broker = plant.trixie
    said = broker.run("journalctl", "--unit=console", "--output=cat")
    address = re.findall(r"listening on (https://127\.0\.0\.1:\d+/)", said)[-1]
    ask = (
        "import ssl, sys, urllib.request as web;"
        "tls = ssl.create_default_context(cafile='/etc/broker/ca.pem');"
        "tls.check_hostname = False;"
        "print(web.urlopen(sys.argv[1], context=tls, timeout=60).read().decode())"
    )

    def told(path: str) -> Any:
        return json.loads(broker.run("/usr/bin/python3", "-c", ask, address + path))

    assert told("api/me")["store"] == "/var/lib/broker/broker.db"
    wait_until(lambda: told("api/fleet")["counts"]["offline"] == 0, 60, "all machines are heard")
    assert len(told("api/fleet")["agents"]) == len(plant.machines)
    assert show(broker, "console", "User") == "broker"
    assert show(broker, "console", "CPUWeight") == "20"
    pid = show(broker, "console", "MainPID")
    assert broker.run("ps", "-o", "ni=", "-p", pid).strip() == "10"
    broker.run("systemctl", "restart", "broker")
    assert show(broker, "console", "MainPID") == pid
    broker.run("systemctl", "restart", "console")
    assert "Traceback" not in broker.run("journalctl", "--unit=console", "--output=cat")
