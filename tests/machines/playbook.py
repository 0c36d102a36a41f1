"""A run of the playbook, as a person has it, and what became of it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from machines import PROJECT

_RECAP = re.compile(
    r"^(\S+)\s+: ok=\d+ +changed=(\d+) +unreachable=(\d+) +failed=(\d+)", re.MULTILINE
)

# In another time zone than the machines, as a laptop may be.
_ENVIRONMENT = {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_PIPELINING": "1", "TZ": "Asia/Tokyo"}


@dataclass(frozen=True)
class Run:
    """What a run of the playbook said and did."""

    text: str
    changed: Mapping[str, int]
    failed: Mapping[str, int]
    unreachable: Mapping[str, int]

    @property
    def went_well(self) -> bool:
        return not any((*self.failed.values(), *self.unreachable.values()))


def play(inventory: Path, *options: str, project: Path = PROJECT, **variables: object) -> Run:
    """Run the playbook, of this project or of another, with extra variables."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "ansible", "playbook"),
            *("--inventory", str(inventory), "--extra-vars", json.dumps(variables)),
            *(*options, str(project / "ansible" / "site.yml")),
        ],
        cwd=inventory.parent,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **_ENVIRONMENT},
    )
    text = done.stdout + done.stderr
    recap = _RECAP.findall(text)
    assert recap, text
    columns = [{row[0]: int(row[at]) for row in recap} for at in (1, 2, 3)]
    run = Run(text, changed=columns[0], unreachable=columns[1], failed=columns[2])
    assert run.went_well == (done.returncode == 0), text
    return run
