"""Upgrades that bring a store or a spool to a newer schema, and the way back from them.

One story, in this order: pytest tests/machines/upgrades.py (Debian, root).
"""

import json
import shutil
import subprocess
from pathlib import Path

from machines import PROJECT
from machines.container import Container, wait_until
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

# The next schema of each side.
_STORE = (
    "broker/recorder/sqlite/schema.py",
    "\n\ndef check_kind(",
    '\nMIGRATIONS.append("CREATE TABLE tomorrow (x)")\n\n\ndef check_kind(',
)
_SPOOL = (
    "agent/spool/schema.py",
    "\n# The schemas that brought ",
    '\nMIGRATIONS += ("CREATE TABLE tomorrow (x)",)\n\n# The schemas that brought ',
)
# The distribution had this name before; both own the packages agent, broker, quartet and wire.
_FORMER_NAME = (
    ("pyproject.toml", '"quartet-edge', '"quartet'),
    ("quartet/distribution.py", '"quartet-edge"', '"quartet"'),
    *(
        (f"ansible/roles/{path}.yml", "quartet_edge", "quartet")
        for path in ("agent/tasks/main", "broker/tasks/main", "build/vars/main")
    ),
)
# It runs, migrates and records; and is not well.
_ILL = (
    "broker/healthcheck.py",
    "def main() -> None:\n",
    'def main() -> None:\n    sys.exit("ill")\n\n\ndef _main() -> None:\n',
)

_AGENTS = ["trixie", "bookworm", "stranger"]

_STATE = "/var/lib/broker"
_SCHEMA = """
import sqlite3, sys
print(*sqlite3.connect(sys.argv[1]).execute("PRAGMA user_version").fetchone())
"""

_SAMPLES = """
import sqlite3, sys
print(*sqlite3.connect(sys.argv[1]).execute("SELECT count(*) FROM samples").fetchone())
"""


def schema(machine: Container, path: str) -> int:
    return int(machine.run("python3", "-c", _SCHEMA, path))


def kept(machine: Container, path: str) -> int:
    """How many samples a file of a spool has."""
    return int(machine.run("python3", "-c", _SAMPLES, path))


def files(machine: Container, pattern: str) -> list[str]:
    return machine.run("sh", "-c", f"ls -d {pattern} 2>/dev/null || :").split()


def recorded(machine: Container, *options: str) -> int:
    """How many samples of its agent the store there has answers to."""
    sessions = json.loads(ledger(machine, "broker", "--json", *options))["sessions"]
    return sum(each["answered"] for each in sessions if each["agent_id"] == machine.name)


def goes_on(machine: Container) -> None:
    """Wait for a prediction that was not there before."""
    count = len(predictions(machine))
    wait_until(lambda: len(predictions(machine)) > count, 60, "predictions go on")


def predicted(machine: Container) -> dict[str, set[int]]:
    """The ids of the predictions in its journal, by session."""
    ids: dict[str, set[int]] = {}
    for entry in predictions(machine):
        ids.setdefault(entry["SESSION_ID"], set()).add(int(entry["SAMPLE_ID"]))
    return ids


def revoke(plant: Plant, name: str) -> bytes:
    """Issue a certificate and revoke it; the list of all that are revoked."""
    pki = plant.directory / "pki"
    (broker,) = (PROJECT / "build" / "ansible").glob("*/bin/broker")
    for verb in ("issue", "revoke"):
        subprocess.run([broker, "pki", verb, name, "--dir", pki], check=True, capture_output=True)
    return (pki / "crl.pem").read_bytes()


def installed(machine: Container, side: str) -> str:
    """The distribution that the current release there was made from."""
    at = f"/opt/quartet/{side}/current/lib/python3*/site-packages"
    (info,) = files(machine, f"{at}/quartet*.dist-info")
    return Path(info).name.split("-")[0]


def has(plant: Plant, name: str) -> None:
    """See that all releases there are made from this distribution, and lose no sample."""
    assert installed(plant.trixie, "broker") == name
    for machine in plant.machines:
        assert installed(machine, "agent") == name
        goes_on(machine)
        wait_until(lambda to=machine: agree(plant.trixie, to), 60, "the ledgers agree")


def test_there_is_a_plant_of_the_former_distribution(plant: Plant) -> None:
    run = plant.play(project=project_of(plant, "0.0.9", *_FORMER_NAME), broker_agents=_AGENTS)
    assert run.went_well, run.text
    has(plant, "quartet")


def test_the_distribution_of_the_new_name_takes_its_place(plant: Plant) -> None:
    run = plant.play(broker_agents=_AGENTS)
    assert run.went_well, run.text
    has(plant, "quartet_edge")


def test_a_return_brings_back_the_former_distribution(plant: Plant) -> None:
    former = project_of(plant, "0.0.9", *_FORMER_NAME)
    downgrade = "--extra-vars=quartet_allow_downgrade=true"
    run = plant.play(downgrade, project=former, broker_agents=_AGENTS)
    assert run.went_well, run.text
    has(plant, "quartet")


def test_there_is_a_plant(plant: Plant) -> None:
    run = plant.play(broker_agents=_AGENTS)
    assert run.went_well, run.text
    has(plant, "quartet_edge")


def test_a_run_that_fails_before_the_switch_has_revoked(plant: Plant) -> None:
    machine = plant.trixie
    started = show(machine, "broker", "MainPID")
    crl = revoke(plant, "press-8")
    wrong = {"use": "odd:Odd"}
    run = plant.play("--limit=trixie", broker_predictor=wrong, broker_agents=["trixie", "bookworm"])
    assert "predictor odd:Odd: cannot be imported" in run.text
    assert machine.run("cat", "/etc/broker/crl.pem").encode() == crl
    assert '\nagents = ["trixie", "bookworm"]\n' in machine.run("cat", "/etc/broker/broker.toml")
    machine.wait_until("sh", "-c", "journalctl -u broker | grep 'reloaded: access.agents'")
    assert show(machine, "broker", "MainPID") == started


def test_a_list_of_revocations_that_is_unusable_or_older_is_refused(plant: Plant) -> None:
    machine, former = plant.trixie, plant.directory / "former"
    shutil.copytree(plant.directory / "pki", former)
    crl = revoke(plant, "press-7")
    assert plant.play("--limit=trixie", broker_agents=["trixie", "bookworm"]).went_well
    run = plant.play("--limit=trixie", pki_manage=False, pki_directory=str(former))
    assert "is older than the list on the machine" in run.text
    (former / "crl.pem").write_text("nothing")
    run = plant.play("--limit=trixie", pki_manage=False, pki_directory=str(former))
    assert "contains no revocation list in PEM" in run.text
    assert machine.run("cat", "/etc/broker/crl.pem").encode() == crl


def test_a_broker_that_fails_goes_back_with_its_store_and_trusts_nobody_again(plant: Plant) -> None:
    machine = plant.trixie
    former, known = release(machine, "broker"), schema(machine, f"{_STATE}/broker.db")
    there = set(files(machine, f"{_STATE}/*.db"))
    config, unit = "/etc/broker/broker.toml", "/etc/systemd/system/broker.service"
    before = machine.run("cat", config), machine.run("cat", unit)
    expiring = machine.run("cat", "/etc/broker/broker.pem")
    crl = revoke(plant, "press-9")
    project = project_of(
        plant, "0.1.1", _STORE, _ILL, ("systemd/broker.service", "TasksMax=256", "TasksMax=255")
    )
    run = plant.play(
        "--limit=trixie",
        project=project,
        service_smoke_s=10,
        broker_agents=["trixie"],
        broker_log={"level": "debug"},
        pki_renew_days=10_000,
    )
    assert run.failed["trixie"] == 1
    assert f"The former release, {former}, runs again" in run.text
    assert release(machine, "broker") == former
    # who is trusted is the newest; the rest is the former
    assert machine.run("cat", "/etc/broker/crl.pem").encode() == crl
    certificate = (plant.directory / "pki" / "broker.pem").read_text()
    assert machine.run("cat", "/etc/broker/broker.pem") == certificate != expiring
    was = '\nagents = ["trixie", "bookworm"]\n'
    assert machine.run("cat", config) == before[0].replace(was, '\nagents = ["trixie"]\n')
    assert machine.run("cat", unit) == before[1]
    plant.bookworm.wait_until("sh", "-c", "journalctl -u agent | grep 'is not in access.agents'")
    # the store is the former, and what the new release recorded is kept beside it
    assert schema(machine, f"{_STATE}/broker.db") == known
    (backup,) = files(machine, f"{_STATE}/backups/*.db")
    assert schema(machine, backup) == known
    (aside,) = set(files(machine, f"{_STATE}/*.db")) - there
    assert schema(machine, aside) == known + 1
    assert aside in run.text
    assert "not in the backup" in run.text
    goes_on(machine)


def test_the_next_run_changes_the_list_alone(plant: Plant) -> None:
    options = ("--limit=trixie",)
    run = plant.play(*options)
    assert run.went_well, run.text
    assert "was edited on this machine" not in run.text
    goes_on(plant.bookworm)
    again = plant.play(*options)
    assert not any(again.changed.values()), again.text


def test_a_certificate_without_its_key_goes_back(plant: Plant) -> None:
    machine, wrong = plant.trixie, plant.directory / "wrong"
    shutil.copytree(plant.directory / "pki", wrong)
    shutil.copy(wrong / "agents" / "trixie.key", wrong / "broker.key")
    key = machine.run("cat", "/etc/broker/broker.key")
    run = plant.play(
        "--limit=trixie", pki_manage=False, pki_directory=str(wrong), service_smoke_s=10
    )
    assert "runs again, with its configuration" in run.text
    assert machine.run("cat", "/etc/broker/broker.key") == key
    goes_on(machine)


def newest(plant: Plant) -> Path:
    return project_of(plant, "0.1.2", _STORE, _SPOOL)


def test_an_upgrade_of_the_store_keeps_a_backup(plant: Plant) -> None:
    machine = plant.trixie
    known = schema(machine, f"{_STATE}/broker.db")
    there = files(machine, f"{_STATE}/backups/*")
    run = plant.play("--limit=trixie", project=newest(plant))
    assert run.went_well, run.text
    assert schema(machine, f"{_STATE}/broker.db") == known + 1
    backups = files(machine, f"{_STATE}/backups/*")
    assert len(backups) == len(there) + 1
    assert {schema(machine, path) for path in backups} == {known}
    assert machine.run("stat", "--format=%U %a", backups[-1]) == "broker 600\n"
    goes_on(machine)
    wait_until(lambda: agree(machine, plant.bookworm), 60, "the ledgers agree")
    again = plant.play("--limit=trixie", project=newest(plant))
    assert not any(again.changed.values()), again.text


def test_a_return_from_an_upgrade_keeps_every_sample_of_the_agent(plant: Plant) -> None:
    machine = plant.bookworm
    former = release(machine, "agent")
    astray = (
        "agent/config/__init__.py",
        "Address.parse(text, name) for",
        'Address.parse("[::1]:1", name) for',
    )
    project = project_of(plant, "0.1.3", _SPOOL, astray)
    run = plant.play("--limit=bookworm", project=project, service_smoke_s=10)
    assert run.failed["bookworm"] == 1
    assert f"The former release, {former}, runs again" in run.text
    assert release(machine, "agent") == former
    spools = "/var/lib/agent/spool.schema-*.db /run/agent/spool.schema-*.db"
    assert sum(kept(machine, path) for path in files(machine, spools)) > 0
    goes_on(machine)
    run = plant.play("--limit=bookworm", project=newest(plant))
    assert run.went_well, run.text
    assert not files(machine, spools)
    wait_until(lambda: waiting(machine) < 5, 60, "what waited is answered")
    wait_until(lambda: agree(plant.trixie, machine), 60, "the ledgers agree")
    assert all(ids == set(range(max(ids) + 1)) for ids in predicted(machine).values())


def test_a_return_by_hand_crosses_the_schema_and_says_what_is_missing(plant: Plant) -> None:
    machine = plant.trixie
    has, known = schema(machine, f"{_STATE}/broker.db"), recorded(machine)
    there = set(files(machine, f"{_STATE}/*.db"))
    run = plant.play("--limit=trixie", "--extra-vars=quartet_allow_downgrade=true")
    assert run.went_well, run.text
    assert schema(machine, f"{_STATE}/broker.db") == has - 1
    (aside,) = set(files(machine, f"{_STATE}/*.db")) - there
    assert schema(machine, aside) == has
    assert f"is {aside}, and is kept" in run.text
    assert "not in the backup" in run.text
    assert recorded(machine) < known
    goes_on(machine)
    again = plant.play("--limit=trixie")
    assert not any(again.changed.values()), again.text


def test_a_broker_that_fails_with_the_same_settings_goes_back_as_well(plant: Plant) -> None:
    machine = plant.trixie
    former, known = release(machine, "broker"), schema(machine, f"{_STATE}/broker.db")
    there = set(files(machine, f"{_STATE}/*.db"))
    project = project_of(plant, "0.1.4", _STORE, _ILL)
    run = plant.play("--limit=trixie", project=project, service_smoke_s=10)
    assert f"The former release, {former}, runs again" in run.text
    assert release(machine, "broker") == former
    assert schema(machine, f"{_STATE}/broker.db") == known
    (aside,) = set(files(machine, f"{_STATE}/*.db")) - there
    assert schema(machine, aside) == known + 1
    goes_on(machine)
