"""`broker rebase`: resets an agent's predictor, and waits until that is done."""

import asyncio
import time

from broker.recorder.reader import Reader
from quartet.clock import Clock

# An agent is away after this silence, or after this number of its periods.
_SILENT_NS = 3 * 10**9
_SILENT_PERIODS = 3

# A broker looks for commands each second, and the agent's next sample must follow.
_PATIENCE_S = 10.0
_LOOK_S = 0.2


async def reset(reader: Reader, agent_id: str, clock: Clock = time) -> str:
    """Give the command; what has come of it, in words.

    Waits where a broker runs and the agent sends samples. CommandError for an unknown agent;
    StoreError.
    """
    if not await reader.command_rebase(agent_id):
        return f"{agent_id}: no broker runs: its predictor is reset at its next sample"
    end_s = clock.monotonic() + _PATIENCE_S
    while (is_reset := await _is_reset(reader, agent_id)) is False:
        if not await _is_sending(reader, agent_id, clock):
            return f"{agent_id}: sends no samples now: its predictor is reset at its next sample"
        if clock.monotonic() >= end_s:
            return f"{agent_id}: not yet: its predictor is reset at its next sample"
        await asyncio.sleep(_LOOK_S)
    if is_reset is None:
        return f"{agent_id}: was forgotten meanwhile: it has no predictor to reset"
    return f"{agent_id}: its predictor is reset, and learns again"


async def _is_sending(reader: Reader, agent_id: str, clock: Clock) -> bool:
    line = await reader.line(agent_id)
    if line is None or line.latest is None:
        return False
    silent_ns = max(_SILENT_NS, _SILENT_PERIODS * (line.period_ns or 0))
    return clock.time_ns() - line.latest.arrived_at_ns < silent_ns


async def _is_reset(reader: Reader, agent_id: str) -> bool | None:
    """Whether the command is applied; None: it is on record no more."""
    commands = [each for each in await reader.commands(agent_id) if each.name == "rebase"]
    return all(each.is_applied for each in commands) if commands else None
