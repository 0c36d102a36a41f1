"""What the sandbox of a unit lets its process do, as a process beside it finds out."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from machines.container import Container

_PROBE = """
import json, os, socket, subprocess

def attempt(expression):
    try:
        return eval(expression) or "done"
    except OSError as error:
        return error.strerror

asked = json.load(open("/opt/quartet/asked.json"))
with open(os.environ["STATE_DIRECTORY"] + "/found.json", "w") as found:
    json.dump({what: attempt(expression) for what, expression in asked.items()}, found)
"""


@contextmanager
def drop_in(machine: Container, unit: str, text: str) -> Iterator[None]:
    """Have a unit started with more settings until the end."""
    path = f"/run/systemd/system/{unit}.service.d/test.conf"
    machine.run("mkdir", "-p", path.rpartition("/")[0])
    machine.run("tee", path, input=f"[Service]\n{text}\n")
    machine.run("systemctl", "daemon-reload")
    try:
        machine.run("systemctl", "restart", unit, check=False)
        yield
    finally:
        machine.run("rm", path)
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "restart", unit)


def probe(
    machine: Container, unit: str, asked: Mapping[str, str], settings: str = ""
) -> dict[str, str]:
    """What comes of expressions in Python, under the settings of a unit and some more.

    The value of each, "done" for an empty one, or why the system refuses it.
    """
    machine.run("tee", "/opt/quartet/probe.py", input=_PROBE)
    machine.run("tee", "/opt/quartet/asked.json", input=json.dumps(asked))
    start = f"{settings}\nExecStartPre=/usr/bin/python3 /opt/quartet/probe.py"
    state = machine.run("systemctl", "show", "--value", "--property=StateDirectory", unit).strip()
    with drop_in(machine, unit, start):
        found: dict[str, str] = json.loads(machine.run("cat", f"/var/lib/{state}/found.json"))
        return found
