"""The variables of several agents on one device, as Ansible makes them from an inventory."""

import importlib.util
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.playbook import ROLES

from agent.config import Settings, check

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ansible.cli") is None, reason="no Ansible here"
)

_PLAY = """
- hosts: agents
  gather_facts: false
  connection: local
  vars_files: [{files}]
  tasks:
    - ansible.builtin.copy:
        dest: {result}
        content: >-
          {{{{ {{'shared': agent_shared, 'names': agent_names, 'buses': agent_buses,
              'packages': agent_packages, 'listed': broker_agents,
              'issued': pki_agents,
              'allowed': ['oil', 'pump-2', 'agent', 'ca', 'crl', 'a.b', '-a', 'a' * 33]
                         | select('match', agent_name_form)}} | to_json }}}}
    - ansible.builtin.copy:
        dest: "{directory}/{{{{ agent_name }}}}.toml"
        content: >-
          {{{{ lookup('template', '{template}', template_vars={{'tables': agent_own_tables}}) }}}}
      loop: "{{{{ agent_names }}}}"
      loop_control: {{loop_var: agent_name}}
"""

_FILES = ("agent/defaults", "agent/vars", "broker/defaults", "pki/vars")


def rendered(directory: Path, **variables: object) -> dict[str, Any]:
    """What the roles make of a device press-4 with these variables; its files are beside it."""
    result = directory / "result.json"
    play = directory / "play.yml"
    play.write_text(
        _PLAY.format(
            files=", ".join(str(ROLES / name / "main.yml") for name in _FILES),
            directory=directory,
            result=result,
            template=ROLES.parent / "templates" / "toml.j2",
        )
    )
    inventory = directory / "inventory.json"
    inventory.write_text(json.dumps({"agents": {"hosts": {"press-4": None}}}))
    given = {
        "ansible_python_interpreter": sys.executable,
        "agent_broker_address": "127.0.0.1:8061",
        **variables,
    }
    done = subprocess.run(
        [
            *(sys.executable, "-m", "ansible", "playbook", "--inventory", str(inventory)),
            *("--extra-vars", json.dumps(given), str(play)),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=directory,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(result.read_text())
    return found


def settings(path: Path) -> Settings:
    found = msgspec.convert(tomllib.loads(path.read_text()), Settings)
    check(found)
    return found


NAMED: Mapping[str, object] = {
    "oil": {
        "source": {"kind": "ads1115", "address": 0x49, "sensor1": {"input": 0, "unit": "bar"}},
        "outputs": {"alarm": {"pin": 22}},
        "spool": {"max_bytes": 65536},
    },
    "water": {"id": "pump", "source": {"kind": "ads1115", "bus": 11}, "sampling": {"rate_hz": 5}},
}


def test_each_agent_gets_a_configuration_of_its_own(tmp_path: Path) -> None:
    found = rendered(
        tmp_path, agent_named=NAMED, agent_sampling={"rate_hz": 20}, agent_proxy="p:3128"
    )
    assert (found["names"], found["buses"], found["shared"]) == (["oil", "water"], [1, 11], [])
    assert found["listed"] == found["issued"] == ["press-4", "press-4-oil", "pump"]
    assert "python3-lgpio" in found["packages"]
    assert found["allowed"] == ["oil", "pump-2"]
    oil, water = settings(tmp_path / "oil.toml"), settings(tmp_path / "water.toml")
    assert (oil.agent.id, oil.sampling.rate_hz) == ("press-4-oil", 20)
    assert (oil.spool.directory, oil.spool.hot_directory, oil.spool.max_bytes) == (
        *("/var/lib/agent/oil", "/run/agent/oil"),
        65536,
    )
    assert oil.broker.proxy == "p:3128"
    assert oil.tls
    assert (oil.tls.certificate, oil.tls.key) == ("/etc/agent/oil.pem", "/etc/agent/oil.key")
    assert (water.agent.id, water.sampling.rate_hz) == ("pump", 5)
    assert water.outputs.alarm is None


@pytest.mark.parametrize(
    ("own", "shared"),
    [
        ({"outputs": {"alarm": {"pin": 17}}}, ["the chip at 0x48 on bus 1", "GPIO17"]),
        ({"id": "press-4", "source": {"kind": "virtual"}}, ["the id press-4"]),
        ({"source": {"address": "0x48"}}, ["the chip at 0x48 on bus 1"]),
        ({"source": {"address": "0x49"}}, []),
        ({"source": {"kind": "virtual"}}, []),
    ],
)
def test_what_two_of_them_would_share_is_named(
    own: dict[str, object], shared: list[str], tmp_path: Path
) -> None:
    outputs = {"status": {"pin": 17}}
    found = rendered(tmp_path, agent_named={"oil": own}, agent_outputs=outputs)
    assert found["shared"] == shared


def test_a_device_that_is_to_have_no_agent_has_no_named_one(tmp_path: Path) -> None:
    found = rendered(tmp_path, agent_named=NAMED, agent_state="absent")
    assert (found["names"], found["shared"]) == ([], [])


def test_a_device_with_one_agent_is_as_ever(tmp_path: Path) -> None:
    found = rendered(tmp_path, agent_source={"kind": "virtual"})
    del found["allowed"]
    assert found == {
        "shared": [],
        "names": [],
        "buses": [],
        "packages": ["python3-venv", "python3-systemd"],
        "listed": ["press-4"],
        "issued": ["press-4"],
    }


def test_an_output_without_a_pin_needs_no_package_for_pins(tmp_path: Path) -> None:
    outputs = {"mqtt": {"address": "homeassistant.lan:1883"}}
    assert "python3-lgpio" not in rendered(tmp_path, agent_outputs=outputs)["packages"]
