"""Who streams: a device under its own name, or a rehearsal under a new one."""

import os

from agent.config import MAX_AGENT_ID, Settings, host_agent_id
from agent.model import Identity
from agent.spool.directories import configured_directories

# Of a rehearsal's random part: no two of the same computer are alike.
_RANDOM_BYTES = 4


def identity(settings: Settings) -> Identity:
    """Who these settings stream as; another rehearsal at each call.

    A rehearsal is a simulation in which nothing says whose samples these are: no id, no spool
    that outlives it, no certificate.
    """
    is_somebody = settings.agent.id or settings.tls or configured_directories(settings.spool)
    if is_somebody or not settings.is_simulated:
        return Identity(settings.agent.device_id, is_rehearsal=False)
    random = os.urandom(_RANDOM_BYTES).hex()
    host = host_agent_id()[: MAX_AGENT_ID - len(f"rehearsal--{random}")]
    return Identity(f"rehearsal-{host}-{random}", is_rehearsal=True)
