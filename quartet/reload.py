"""What a running service takes of a configuration that has changed; all else needs a restart."""

import logging
from collections.abc import Callable
from typing import TypeVar

from quartet.errors import QuartetError
from quartet.settings import Table, differences

log = logging.getLogger(__name__)

Kind = TypeVar("Kind", bound=Table)


def reconfigured(
    running: Kind, read: Callable[[], Kind], reloaded: Callable[[Kind, Kind], Kind]
) -> Kind:
    """Read anew; the settings from now on, which are the former where they cannot be used.

    `reloaded(running, latest)` gives the former with what can be changed while running. Says
    what that is, and what waits for a restart.
    """
    try:
        latest = read()
        settings = reloaded(running, latest)
    except QuartetError as error:
        log.error("%s; the old configuration stays in use", error)  # noqa: TRY400
        return running
    changes = ", ".join(differences(running, settings)) or "no change"
    log.info("configuration reloaded: %s", changes)
    for setting in differences(settings, latest):
        log.warning("%s: changed; restart to use it", setting)
    return settings
