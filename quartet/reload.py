"""What a running service takes of a configuration that has changed; all else needs a restart."""

import logging
from collections.abc import Callable
from typing import TypeVar

from quartet.errors import QuartetError
from quartet.settings import Table, differences

log = logging.getLogger(__name__)

Kind = TypeVar("Kind", bound=Table)


def reconfigured(
    running: Kind, read: Callable[[], Kind], take: Callable[[Kind, Kind], Kind]
) -> Kind:
    """Read anew; the settings from now on, which are the former where they cannot be used.

    `take(running, latest)` gives the former with what can be changed while running. Says
    what that is, and what waits for a restart.
    """
    try:
        latest = read()
        taken = take(running, latest)
    except QuartetError as error:
        log.error("%s; the former configuration is used until that is mended", error)  # noqa: TRY400
        return running
    log.info("configuration: taken anew: %s", ", ".join(differences(running, taken)) or "no change")
    for setting in differences(taken, latest):
        log.warning("%s: has changed, and is taken at a restart", setting)
    return taken
