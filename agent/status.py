"""The command `agent status`: what the running agent is doing, for a person or a program."""

from dataclasses import replace
from typing import Any

import msgspec

from agent import local
from agent.config import Settings
from agent.errors import StatusError
from agent.spool import ledger
from agent.spool.directories import DEFAULT, Directories, configured_directories
from agent.state import State, details, line
from quartet.columns import named
from quartet.errors import StoreError
from quartet.foreign import in_json, shown
from quartet.plural import counted

# Of the JSON; raised when a reader of this one would misread it.
_SCHEMA = 1

_SIMULATIONS = (
    "a simulation without directories in [spool] cannot be asked, because its spool is temporary:"
    " set directory and hot_directory under [spool], and give 'agent run' and 'agent status' the"
    " same --config"
)


def run(settings: Settings, *, as_json: bool) -> int:
    """Print the state; 0 when the agent streams without trouble and without an alarm, else 1.

    StatusError where a running agent cannot be asked.
    """
    configured = configured_directories(settings.spool)
    if configured is None and settings.is_simulated:
        raise StatusError(_SIMULATIONS)
    directories = configured or DEFAULT
    state = _ask(directories)
    if state is None:
        _print_absence(directories, as_json=as_json)
        if configured is None and not as_json:
            print(_SIMULATIONS)
        return 1
    if as_json:
        _print_json(is_running=True, needs_person=state.needs_person, **msgspec.to_builtins(state))
    else:
        print(f"agent {shown(state.agent_id)}: {line(replace(state, alarm_reason=''))}")
        print("\n".join(named(details(state))))
    return 1 if state.needs_person else 0


def _ask(directories: Directories) -> State | None:
    """The state of the agent that runs here; None where none does."""
    directory = directories.hot
    try:
        return msgspec.json.decode(local.ask(directory), type=State)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        return None
    except PermissionError as error:
        raise StatusError(
            f"{directory} is for the agent's own user only: run 'sudo agent status'"
        ) from error
    except (TimeoutError, ConnectionAbortedError) as error:
        raise StatusError(
            "the agent runs and does not answer: see its log ('journalctl -u agent')"
        ) from error
    except OSError as error:
        raise StatusError(f"{directory / local.SOCKET}: {shown(error.strerror)}") from error
    except msgspec.DecodeError as error:
        raise StatusError(
            "the running agent is of another version: restart it, or use its own command"
        ) from error


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
