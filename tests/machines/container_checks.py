"""The bed itself, on trial: what the tests of a deployment take for granted of a machine.

Run by its path: pytest tests/machines/container_checks.py (Debian, root).
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from machines.container import Container, inventory, wait_until
from machines.roots import SUITES, BedError

# It says that it is ready, beats while /run/beats is there, and is then silent for ever.
_BEATER = """\
import os, pathlib, socket, time
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.connect(os.environ["NOTIFY_SOCKET"])
notify.send(b"READY=1")
while True:
    if pathlib.Path("/run/beats").exists():
        notify.send(b"WATCHDOG=1")
    time.sleep(0.1)
"""
_BEATER_UNIT = """\
[Service]
Type=notify
WatchdogSec=2
WatchdogSignal=SIGKILL
Restart=on-failure
RestartSec=0
ExecStart=/usr/bin/python3 /srv/beater.py
"""


@pytest.fixture(scope="module")
def both() -> Iterator[dict[str, Container]]:
    with Container("bookworm") as bookworm, Container("trixie", "pi-trixie") as trixie:
        yield {"bookworm": bookworm, "trixie": trixie}


@pytest.fixture(params=SUITES)
def machine(both: dict[str, Container], request: pytest.FixtureRequest) -> Container:
    return both[request.param]


def transient(machine: Container, *command: str, **properties: str) -> str:
    """Run a command as a service; what it prints."""
    settings = [f"--property={name}={value}" for name, value in properties.items()]
    return machine.run("systemd-run", "--quiet", "--wait", "--pipe", *settings, *command)


def shown(machine: Container, unit: str, name: str) -> str:
    return machine.run("systemctl", "show", "--value", f"--property={name}", unit).strip()


def test_all_that_a_machine_starts_runs(machine: Container):
    assert machine.run("systemctl", "is-system-running").strip() == "running"
    assert machine.run("systemctl", "--failed", "--no-legend") == ""
    assert f"VERSION_CODENAME={machine.suite}\n" in machine.run("cat", "/etc/os-release")


def test_a_command_starts_in_the_machine_s_own_root(machine: Container):
    assert machine.run("/bin/pwd") == "/\n"
    assert machine.run("cat", "etc/hostname") == f"{machine.name}\n"
    assert machine.run("cat", input="given") == "given"


def test_pi_logs_in_and_may_do_all(machine: Container):
    assert machine.ssh("id -un; sudo -n id -un; hostname").split() == ["pi", "root", machine.name]


def test_a_machine_is_no_other(both: dict[str, Container]):
    ids = {machine.run("cat", "/etc/machine-id") for machine in both.values()}
    ports = {machine.login.port for machine in both.values()}
    assert len(ids) == len(ports) == 2
    strange = both["trixie"].login.ssh_options
    other = f"-oPort={both['bookworm'].login.port}"
    refused = subprocess.run(
        ["ssh", other, *strange, "pi@127.0.0.1", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 255
    assert "Host key verification failed" in refused.stderr


def test_a_service_opens_the_bus_that_it_is_allowed_and_no_other(machine: Container):
    allowed = {"DevicePolicy": "closed", "DeviceAllow": "/dev/i2c-1 rw"}
    transient(machine, "sh", "-c", "exec 3<>/dev/i2c-1", **allowed)
    transient(machine, "sh", "-c", "exec 3<>/dev/i2c-2")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        transient(machine, "sh", "-c", "exec 3<>/dev/i2c-2", **allowed)
    assert "/dev/i2c-2: Operation not permitted" in refused.value.stderr


def test_a_bus_is_the_group_i2c_s(machine: Container):
    machine.ssh("exec 3<>/dev/i2c-1")
    with pytest.raises(subprocess.CalledProcessError, match="returned non-zero"):
        transient(machine, "sh", "-c", "exec 3<>/dev/i2c-1", User="nobody")


def test_a_service_reaches_no_address_that_it_is_denied(machine: Container):
    connect = (
        "import socket; "
        f"print(socket.create_connection(('127.0.0.1', {machine.login.port}), 2).recv(3))"
    )
    assert transient(machine, "python3", "-c", connect) == "b'SSH'\n"
    with pytest.raises(subprocess.CalledProcessError):
        transient(machine, "python3", "-c", connect, IPAddressDeny="any")


def test_a_strictly_protected_service_writes_only_where_it_may(machine: Container):
    strict = {"ProtectSystem": "strict", "StateDirectory": "kept", "DynamicUser": "yes"}
    transient(machine, "sh", "-c", "touch /var/lib/kept/yes", **strict)
    with pytest.raises(subprocess.CalledProcessError) as refused:
        transient(machine, "touch", "/etc/no", ProtectSystem="strict")
    assert "Read-only file system" in refused.value.stderr


def test_a_service_is_given_a_credential(machine: Container):
    machine.run("sh", "-c", "umask 077; cat >/srv/secret", input="a word")
    given = {"LoadCredential": "word:/srv/secret", "DynamicUser": "yes"}
    assert transient(machine, "sh", "-c", 'cat "$CREDENTIALS_DIRECTORY/word"', **given) == "a word"


def test_a_service_that_no_longer_beats_is_killed_and_started_again(machine: Container):
    machine.run("sh", "-c", "touch /run/beats; cat >/srv/beater.py", input=_BEATER)
    machine.run("sh", "-c", "cat >/etc/systemd/system/beater.service", input=_BEATER_UNIT)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "beater")
    first = shown(machine, "beater", "MainPID")
    assert shown(machine, "beater", "ActiveState") == "active"
    machine.run("rm", "/run/beats")
    wait_until(
        lambda: shown(machine, "beater", "NRestarts") != "0", 20, "the watchdog starts it again"
    )
    machine.run("touch", "/run/beats")
    machine.wait_until("systemctl", "is-active", "beater")
    assert shown(machine, "beater", "MainPID") != first
    machine.run("journalctl", "--sync")
    log = machine.run("journalctl", "--unit=beater", "--output=json").splitlines()
    messages = [json.loads(line)["MESSAGE"] for line in log]
    assert any("Watchdog timeout" in message for message in messages)


def test_its_journal_is_its_own(machine: Container):
    machine.run("logger", "--tag", "bed", f"said in {machine.name}")
    machine.run("journalctl", "--sync")
    inside = machine.run("journalctl", "-t", "bed", "--output=json").splitlines()
    assert [json.loads(line)["MESSAGE"] for line in inside] == [f"said in {machine.name}"]
    id_ = machine.run("cat", "/etc/machine-id").strip()
    assert not Path("/var/log/journal", id_).exists()


def test_pip_and_apt_reach_what_they_need(machine: Container):
    machine.run("apt-get", "update")
    machine.run("apt-get", "install", "--yes", "--download-only", "hello")
    machine.run("python3", "-m", "venv", "/opt/trial")
    machine.run("/opt/trial/bin/pip", "install", "--quiet", "msgspec>=0.19")


def test_ansible_reaches_both_and_becomes_root(both: dict[str, Container], tmp_path: Path):
    hosts = tmp_path / "hosts.json"
    hosts.write_text(inventory({"agents": [both["trixie"]], "brokers": [both["bookworm"]]}))
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    for module in ("ping", "setup"):
        told = subprocess.run(
            [
                sys.executable,
                "-m",
                "ansible",
                "adhoc",
                "all",
                "-i",
                hosts,
                "--become",
                "-m",
                module,
            ],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
        )
        assert told.returncode == 0, told.stdout + told.stderr
        assert told.stdout.count("| SUCCESS =>") == 2
    assert '"ansible_service_mgr": "systemd"' in told.stdout
    assert '"ansible_user_id": "root"' in told.stdout


def test_a_reboot_keeps_the_disk_and_loses_what_ran(machine: Container):
    machine.run("touch", "/var/lib/kept-file", "/run/lost-file")
    before = machine.run("journalctl", "--list-boots", "--no-pager").count("\n")
    machine.reboot()
    machine.run("test", "-e", "/var/lib/kept-file")
    assert machine.run("sh", "-c", "ls /run/lost-file 2>/dev/null", check=False) == ""
    assert machine.run("journalctl", "--list-boots", "--no-pager").count("\n") == before + 1
    machine.run("test", "-c", "/dev/i2c-1")
    assert machine.ssh("sudo -n id -un") == "root\n"


def test_a_reboot_from_within_is_followed(machine: Container):
    boot = "/proc/sys/kernel/random/boot_id"
    before = machine.run("cat", boot)
    machine.ssh("sudo systemctl reboot", check=False)
    wait_until(lambda: machine.run("cat", boot, check=False) not in (before, ""), 30, "a new boot")
    machine.wait_until("systemctl", "is-system-running", "--wait")


def test_nothing_is_left_of_a_machine():
    with Container("trixie", "passing") as machine:
        machine.stop()
        with pytest.raises(BedError, match="passing is off"):
            machine.run("true")
        home = Path(machine.login.ssh_options[2].partition("=")[2]).parent
        assert home.exists()
    assert not home.exists()
    assert not list(Path("/sys/fs/cgroup").rglob(f"quartet-{os.getpid()}-passing"))
    assert str(home) not in Path("/proc/self/mountinfo").read_text()
