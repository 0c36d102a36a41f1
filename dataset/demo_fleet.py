#!/usr/bin/env python3
"""Five simulated machines, their broker, and its console, until Ctrl-C. `make demo-fleet` runs it.

Everything lies in a temporary directory, which goes with the demo.
"""

import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

from dataset.demo_parts import ANY_PORT, module, started, until_interrupted
from dataset.machines import MACHINES, recorded

# Offline is who sends nothing for 30 s.
THERE_S, AWAY_S = 45.0, 60.0
LOOK_EVERY_S = 0.2


def run(home: Path, stack: ExitStack) -> NoReturn:
    """Start all, say where to look, and watch until a signal or a DemoError ends it."""
    store = str(home / "broker.db")
    where = "--store", store, "--listen", ANY_PORT
    broker = stack.enter_context(started("broker", home, *module("broker", "run", *where)))
    address = broker.said(r"listening on (127\.0\.0\.1:\d+)")
    console = stack.enter_context(started("console", home, *module("broker", "console", *where)))
    agents = {}
    for machine in MACHINES:
        recording = str(recorded(machine, home))
        run = "run", "--simulate", recording, "--loop", "--rate", str(machine.rate_hz)
        who = "--agent-id", machine.agent_id, "--broker", address
        name = f"agent {machine.agent_id}"
        agents[machine] = stack.enter_context(started(name, home, *module("agent", *run, *who)))
    for agent in agents.values():
        stack.callback(agent.ask_to_end)  # all at once, before each is waited for
    print(
        f"\nThe console: {console.said(r'(http://127[.]0[.]0[.]1:[0-9]+/)')}\n\n{WHAT}", flush=True
    )
    turn_s = dict.fromkeys((each for each in MACHINES if each.goes_away), time.monotonic())
    while True:
        for process in (broker, console, *agents.values()):
            process.check()
        for machine, since_s in turn_s.items():
            agent = agents[machine]
            if time.monotonic() - since_s >= (THERE_S if agent.running else AWAY_S):
                agent.end() if agent.running else agent.start()
                turn_s[machine] = time.monotonic()
        time.sleep(LOOK_EVERY_S)


WHAT = """\
  press-1, press-2, pump-3   healthy
  press-4                    a bearing fails: an alarm after half a minute, again and again
  furnace-5                  goes away for a minute, and comes back, again and again

Each learns for some 30 seconds what is normal. Ctrl-C ends all of it."""


if __name__ == "__main__":
    sys.exit(until_interrupted("demo-fleet", run))
