"""The agent that runs on this machine, as another process asks it."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from agent.config import Settings
from agent.errors import StatusError
from agent.instance import Instance
from agent.spool.directories import DEFAULT, Directories, configured_directories
from quartet.foreign import shown

SIMULATIONS = (
    "a simulation without directories in [spool] cannot be asked, because its spool is temporary:"
    " set directory and hot_directory under [spool], and give 'agent run' and 'agent {command}' the"
    " same --config"
)

Answer = TypeVar("Answer")


def place(settings: Settings, command: str) -> Directories:
    """Where an agent with these settings can be asked; StatusError where it cannot."""
    configured = configured_directories(settings.spool)
    if configured is None and settings.is_simulated:
        raise StatusError(SIMULATIONS.format(command=command))
    return configured or DEFAULT


def asked(
    directory: Path,
    ask: Callable[[Path], bytes],
    kind: type[Answer],
    command: str,
    instance: Instance,
) -> Answer | None:
    """What the agent with this directory in RAM answers; None where none runs.

    `ask` is a question of agent.local. StatusError where a running agent cannot be asked.
    """
    try:
        return msgspec.json.decode(ask(directory), type=kind)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        return None
    except PermissionError as error:
        raise StatusError(
            f"{directory} is for the agent's own user only: run 'sudo {instance.command(command)}'"
        ) from error
    except (TimeoutError, ConnectionAbortedError) as error:
        raise StatusError(
            f"the agent runs and does not answer: see its log ('journalctl -u {instance.unit}')"
        ) from error
    except OSError as error:
        raise StatusError(f"{directory}: {shown(error.strerror)}") from error
    except msgspec.DecodeError as error:
        raise StatusError(
            "the running agent is of another version: restart it, or use its own command"
        ) from error
