"""Which agent of this computer is meant: agent.service, or agent@NAME.service for one more chip."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from agent.config import Settings
from quartet.errors import SettingsError

HOT, COLD = Path("/run/agent"), Path("/var/lib/agent")
"""The directories that systemd makes for agent.service; those of the others lie in them."""

NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
"""Of an instance. It has no dot: agent.example.toml is no agent's."""

NAME_IN_WORDS = "1 to 32 letters, digits, - and _, the first a letter or digit"

FIRST = "agent"
"""The name of the configuration of agent.service, which no other agent can have."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One agent of this computer, by its name; the name of agent.service is empty."""

    name: str = ""
    beside: Mapping[Path, str] = field(default_factory=dict)
    """The configurations of the other agents, and their names."""
    apart_from: Path | None = None
    """Where the agents of this computer have theirs, if this one lies elsewhere."""

    @classmethod
    def of(cls, config: Path | None, default: Path) -> "Instance":
        """Whose configuration a file is; agent.service's where it lies elsewhere.

        `default` is the configuration of agent.service, and the others lie beside it.
        """
        if config is None:
            return cls()
        names = {
            path: "" if path == default else path.stem
            for path in sorted(default.parent.glob(f"*{default.suffix}"))
            if NAME.fullmatch(path.stem)
        }
        name = names.pop(config.absolute(), None)
        if name is None:
            return cls(apart_from=default.parent if names else None)
        return cls(name, names)

    @property
    def unit(self) -> str:
        """Its service, as systemctl and journalctl take it."""
        return f"agent@{self.name}" if self.name else "agent"

    def command(self, name: str) -> str:
        """A command of the program, for this agent."""
        return " ".join(filter(None, ("agent", name, self.name)))


def with_places(settings: Settings, instance: Instance) -> Settings:
    """The settings with the directories that systemd makes for a named agent.

    What the configuration or systemd itself names comes before. SettingsError for agent@agent.
    """
    if not instance.name:
        if os.environ.get("STATE_DIRECTORY") == str(COLD / FIRST):
            raise SettingsError(
                f"agent@{FIRST} would be a second agent with the configuration of agent.service:"
                " use 'systemctl start agent', or give this one another name"
            )
        return settings
    spool = settings.spool
    if not (spool.directory or os.environ.get("STATE_DIRECTORY")):
        spool = msgspec.structs.replace(spool, directory=str(COLD / instance.name))
    if not (spool.hot_directory or os.environ.get("RUNTIME_DIRECTORY")):
        spool = msgspec.structs.replace(spool, hot_directory=str(HOT / instance.name))
    return msgspec.structs.replace(settings, spool=spool)
