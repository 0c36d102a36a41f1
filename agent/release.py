"""The command `agent release`: a person releases the alarm output that a latch holds on."""

import os
from functools import partial

from agent import local
from agent.config import Settings
from agent.errors import StatusError
from agent.instance import Instance
from agent.running import asked, place
from agent.state import AlarmState, Outcome, Release, State
from quartet.clock import stamp
from quartet.foreign import shown

_COMMAND = "release"


def run(settings: Settings, instance: Instance) -> int:
    """Order the running agent to release; 0 when the output is not held any more, else 1.

    StatusError where it cannot be asked.
    """
    directory = place(settings, _COMMAND).hot
    order = partial(local.order_release, name=os.environ.get("SUDO_USER", ""))
    release = asked(directory, order, Release, _COMMAND, instance)
    if release is None:
        if asked(directory, local.ask, State, _COMMAND, instance):
            raise StatusError("the running agent is of an older version: restart it first")
        print(
            f"no agent runs with its socket in {directory}: start it, and release the output then"
        )
        return 1
    print(_said(release, instance))
    return 0 if release.outcome in {Outcome.RELEASED, Outcome.NOT_HELD} else 1


def _said(release: Release, instance: Instance) -> str:
    if release.held_since_ns is None:
        output = f"it is {shown(release.output)}" if release.output else "there is none"
        return f"the alarm output is not held: {output}"
    since = stamp(release.held_since_ns)
    if release.outcome is Outcome.NO_PIN:
        return (
            f"the alarm output, held since {since}, stays held: its pin cannot be used. See the"
            f" agent's log ('journalctl -u {instance.unit}'), and restart the agent before the"
            " release."
        )
    if release.outcome is Outcome.NOT_OVER:
        return (
            f"the alarm output, held since {since}, stays on: the alarm is not over. Find the"
            f" cause first; '{instance.command('status')}' shows it. If this is how the machine"
            " runs now, reset the predictor with 'broker rebase AGENT' on the broker."
        )
    now = "it is in its safe state" if release.output == AlarmState.STALE else "it is off"
    return f"the alarm output, held since {since}, is released: {now}"
