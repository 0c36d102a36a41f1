"""The command `agent status`: what the running agent is doing, for a person or a program."""

from dataclasses import replace
from typing import Any

import msgspec

from agent import local
from agent.config import Settings
from agent.instance import Instance
from agent.running import SIMULATIONS, asked, place
from agent.spool import ledger
from agent.spool.directories import DEFAULT, Directories
from agent.state import State, details, line
from quartet.columns import named
from quartet.errors import StoreError
from quartet.foreign import in_json, shown
from quartet.plural import counted

# Of the JSON; raised when a reader of this one would misread it.
_SCHEMA = 1

_COMMAND = "status"


def run(settings: Settings, instance: Instance, *, as_json: bool) -> int:
    """Print the state; 0 when the agent streams without trouble and without an alarm, else 1.

    StatusError where a running agent cannot be asked.
    """
    directories = place(settings, _COMMAND)
    state = asked(directories.hot, local.ask, State, _COMMAND, instance)
    if state is None:
        _print_absence(directories, as_json=as_json)
        if directories is DEFAULT and not as_json:
            print(SIMULATIONS.format(command=_COMMAND))
        return 1
    if as_json:
        _print_json(is_running=True, needs_person=state.needs_person, **msgspec.to_builtins(state))
    else:
        print(f"agent {shown(state.agent_id)}: {line(replace(state, alarm_reason=''))}")
        print("\n".join(named(details(state))))
    return 1 if state.needs_person else 0


def _print_absence(directories: Directories, *, as_json: bool) -> None:
    where = f"{directories.hot} and {directories.cold}"
    waiting, trouble = None, ""
    try:
        waiting = sum(entry.waiting for entry in ledger.read(directories).sessions)
    except StoreError as error:
        trouble = str(error)
    if as_json:
        _print_json(is_running=False, needs_person=True, waiting=waiting, spool_trouble=trouble)
        return
    print(f"no agent runs with the spool in {where}")
    print(trouble if waiting is None else f"{counted(waiting, 'sample', 'waits', 'wait')} there")


def _print_json(**fields: Any) -> None:
    document = {"schema": _SCHEMA, **fields}
    print(in_json(msgspec.json.format(msgspec.json.encode(document)).decode()))
