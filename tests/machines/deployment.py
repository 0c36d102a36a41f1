"""The playbook on real machines: what it brings, what it refuses, how it goes back.

One story, in this order: pytest tests/machines/deployment.py (Debian, root).
"""

import json
import subprocess

import pytest

from machines.container import wait_until
from machines.plant import (
    Plant,
    agree,
    ledger,
    predictions,
    project_of,
    release,
    show,
    waiting,
)

FIELDS = {
    *("MESSAGE", "PRIORITY", "SAMPLE_ID", "SESSION_ID", "AGENT_ID", "PREDICTION"),
    *("SENSOR1", "SENSOR2", "SENSOR3", "SENSOR4", "SAMPLED_AT", "ROUND_TRIP_US"),
}


_ODD = """
class Odd:
    def __init__(self, from_id):
        self.from_id = from_id

    def predict(self, sample):
        return sample.id >= self.from_id
"""


def test_a_run_that_only_checks_changes_nothing(plant: Plant) -> None:
    run = plant.play("--check", "--diff")
    assert run.went_well, run.text
    assert all(run.changed.values())
    for machine in plant.machines:
        machine.run("test", "!", "-e", "/opt/quartet", "-a", "!", "-e", "/etc/agent")


def test_a_run_ends_with_predictions_in_each_journal(plant: Plant) -> None:
    run = plant.play()
    assert run.went_well, run.text
    for machine in plant.machines:
        entry = predictions(machine)[-1]
        assert entry.keys() >= FIELDS
        assert entry["AGENT_ID"] == machine.name
        assert machine.run("systemctl", "is-enabled", "agent").strip() == "enabled"


def test_a_second_run_changes_nothing(plant: Plant) -> None:
    started = show(plant.bookworm, "agent", "MainPID")
    run = plant.play("--diff")
    assert run.went_well, run.text
    assert not any(run.changed.values()), run.text
    assert show(plant.bookworm, "agent", "MainPID") == started


def test_a_black_box_of_ones_own_takes_over_once_it_can_be_made(plant: Plant) -> None:
    own = {"use": "odd:Odd", "options": {"from_id": 1}}
    run = plant.play("--limit=trixie", broker_predictor=own)
    assert "predictor odd:Odd: cannot be imported" in run.text
    plant.trixie.run("mkdir", "/etc/broker/predictors")
    plant.trixie.run("tee", "/etc/broker/predictors/odd.py", input=_ODD)
    run = plant.play("--limit=trixie", broker_predictor=own)
    assert run.went_well, run.text
    wait_until(lambda: predictions(plant.trixie)[-1]["PREDICTION"] == "1", 30, "True")
    plant.trixie.run("tee", "/etc/broker/predictors/odd.py", input=_ODD.replace(">=", "<"))
    run = plant.play("--limit=trixie", broker_predictor=own)
    assert run.went_well, run.text
    wait_until(lambda: predictions(plant.trixie)[-1]["PREDICTION"] == "0", 30, "False")
    assert not any(plant.play("--limit=trixie", broker_predictor=own).changed.values())


def test_a_host_that_is_away_delays_no_other(plant: Plant) -> None:
    plant.bookworm.run("systemctl", "stop", "ssh")
    plant.bookworm.run("pkill", "-f", "^sshd", check=False)  # the connection that Ansible keeps
    try:
        run = plant.play(agent_log={"level": "debug"})
    finally:
        plant.bookworm.run("systemctl", "start", "ssh")
    assert run.unreachable == {"trixie": 0, "bookworm": 1}
    assert not run.failed["trixie"]
    assert 'level = "debug"' in plant.trixie.run("cat", "/etc/agent/agent.toml")


@pytest.mark.parametrize(
    ("variables", "reasons"),
    [
        ({"agent_sampling": "fast"}, ["agent_sampling", "unable to convert to dict"]),
        (
            {
                "agent_sampling": {"rate_hz": 5000},
                "agent_outputs": {"alarm": {"pin": 17, "ttl": 3}},
            },
            [
                "sampling.rate_hz: expected a number from 0.0001",
                "outputs.alarm.ttl: unknown key",
            ],
        ),
        ({"agent_samplng": {"rate_hz": 20}}, ["no role knows agent_samplng"]),
        ({"agent_source": {"kind": "ads1115", "bus": 7}}, ["there is no /dev/i2c-7"]),
        ({"pki_manage": False, "agent_id": "stranger"}, ["there is no ", "agents/stranger.pem"]),
    ],
    ids=["type", "value", "name", "bus", "certificate"],
)
def test_what_is_wrong_is_refused_and_what_ran_runs_on(
    plant: Plant, variables: dict[str, object], reasons: list[str]
) -> None:
    machine = plant.bookworm
    started = show(machine, "agent", "MainPID")
    run = plant.play("--limit=bookworm", **variables)
    assert run.failed["bookworm"] == 1
    for reason in reasons:
        assert reason in run.text
    assert show(machine, "agent", "MainPID") == started


def test_a_machine_that_cannot_do_it_is_told_all_reasons(plant: Plant) -> None:
    machine = plant.bookworm
    seen = {
        "python": "3.9.2",
        "bits": 32,
        "machine": "armv7l",
        "off_s": 7200.0,
        "uid": 1000,
        "free_mb": 12,
        "installed": False,
        "release": "0.1.0-0123456789ab-py39",
        "former": "9.0.0-0123456789ab-py311",
    }
    script = f"#!/bin/sh\ncat <<END\n{json.dumps(seen)}\nEND\n"
    machine.run("sh", "-c", "cat >/srv/python && chmod 755 /srv/python", input=script)
    run = plant.play("--limit=bookworm", agent_python="/srv/python")
    assert run.failed["bookworm"] == 1
    for reason in (
        "is Python 3.9.2, and 3.11 is needed",
        "a 32-bit system (armv7l)",
        "120.0 minutes off",
        "a user agent with the uid 1000, who is a person",
        "12 MB are free",
        "an older version may not read what a newer one wrote",
    ):
        assert reason in run.text


def test_a_configuration_that_was_edited_is_kept_and_told(plant: Plant) -> None:
    machine, config = plant.bookworm, "/etc/agent/agent.toml"
    machine.run("sed", "-i", "s/^\\[source\\]$/[sampling]\\nrate_hz = 20.0\\n\\n&/", config)
    run = plant.play("--limit=bookworm")
    assert run.went_well, run.text
    assert "was edited on this machine, and is kept" in run.text
    assert "+rate_hz = 20.0" in run.text
    assert "rate_hz = 20.0" in machine.run("cat", config)
    run = plant.play("--limit=bookworm", "--extra-vars=quartet_overwrite_config=true")
    assert run.went_well, run.text
    assert "rate_hz" not in machine.run("cat", config)
    assert "rate_hz = 20.0" in machine.run("sh", "-c", f"cat {config}.*")


def test_certificates_are_renewed_while_the_agent_runs(plant: Plant) -> None:
    machine = plant.bookworm
    started = show(machine, "agent", "MainPID")
    run = plant.play("--limit=bookworm", pki_renew_days=10_000)
    assert run.went_well, run.text
    machine.wait_until("sh", "-c", "journalctl -u agent | grep 'certificates reloaded'")
    assert show(machine, "agent", "MainPID") == started


def test_an_upgrade_keeps_what_waits(plant: Plant) -> None:
    machine = plant.bookworm
    former = release(machine, "agent")
    plant.trixie.run("systemctl", "stop", "broker")
    wait_until(lambda: waiting(machine) > 20, 60, "samples wait")
    machine.run("systemctl", "stop", "agent")
    held = waiting(machine)
    plant.trixie.run("systemctl", "start", "broker")
    run = plant.play("--limit=bookworm", project=project_of(plant, "0.1.1"))
    assert run.went_well, run.text
    assert held > 20
    assert release(machine, "agent").startswith("0.1.1-")
    wait_until(lambda: waiting(machine) < 20, 60, "what waited is answered")
    wait_until(lambda: agree(plant.trixie, machine), 60, "the ledgers agree")
    machine.run("test", "-d", f"/opt/quartet/agent/{former}")


def test_an_older_version_does_not_take_the_place_of_a_newer_one(plant: Plant) -> None:
    run = plant.play("--limit=bookworm")
    assert "an older version may not read what a newer one wrote" in run.text
    assert release(plant.bookworm, "agent").startswith("0.1.1-")


def test_an_upgrade_that_fails_goes_back_and_says_so(plant: Plant) -> None:
    machine = plant.bookworm
    former = release(machine, "agent")
    sums = "cd /etc; sha256sum agent/* systemd/system/agent.service{,.d/*}"
    before = machine.run("bash", "-c", sums)
    faults = (
        ("agent/app.py", "    clock = SystemClock()\n", "    raise SystemExit(3)\n"),
        ("systemd/agent.service", "MemoryMax=256M", "MemoryMax=128M"),
    )
    project = project_of(plant, "0.1.2", *faults)
    run = plant.play("--limit=bookworm", project=project, service_smoke_s=10)
    assert run.failed["bookworm"] == 1
    assert f"The former release, {former}, runs again, with its configuration." in run.text
    assert release(machine, "agent") == former
    after = machine.run("bash", "-c", sums)
    assert after == before
    count = len(predictions(machine))
    wait_until(lambda: len(predictions(machine)) > count, 60, "predictions go on")
    assert ledger(machine, "agent")


def test_it_goes_without_a_trace_but_for_its_samples(plant: Plant) -> None:
    machine = plant.bookworm
    run = plant.play("--limit=bookworm", agent_state="absent")
    assert run.went_well, run.text
    assert "/var/lib/agent is kept" in run.text
    left = "ls -d /opt/quartet/agent /etc/agent /etc/systemd/system/agent.service* || :"
    assert not machine.run("sh", "-c", left)
    machine.run("test", "-e", "/var/lib/agent/spool.db")
    with pytest.raises(subprocess.CalledProcessError):
        machine.run("systemctl", "is-active", "agent")
    assert not any(plant.play("--limit=bookworm", agent_state="absent").changed.values())
    removal = ("--limit=bookworm", "--extra-vars=agent_state=absent quartet_discard=true")
    assert plant.play(*removal).went_well
    machine.run("test", "!", "-e", "/var/lib/agent")


def test_it_comes_again_from_an_index(plant: Plant) -> None:
    run = plant.play("--limit=bookworm", quartet_wheelhouse="")
    assert run.went_well, run.text
    assert predictions(plant.bookworm)[-1].keys() >= FIELDS
