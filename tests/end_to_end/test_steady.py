"""A machine that settles at another level: the alarm, its end, and what stays on show."""

import asyncio
import json
import random
import re
from pathlib import Path
from typing import Any

from support.processes import Agent, Broker, Running

from broker.recorder.opening import open_reader
from broker.recorder.reader import RecordedExplanation, Span

LEVELS = (60.0, 80.0, 100.0, 120.0)
STEP_AT = 600
STEP = 8.0
"""In spreads of the second sensor. Below 12, where a predictor may accept it by itself."""


def recording(path: Path, rows: int, step_at: int) -> Path:
    """A quiet machine, whose second sensor is another one from a row on."""
    dice = random.Random(19)  # noqa: S311 - the same rows each time
    lines = ["a,b,c,d\n"]
    for row in range(rows):
        values = [dice.gauss(level, 1.0) for level in LEVELS]
        values[1] += STEP * (row >= step_at)
        lines.append(",".join(f"{value:.4f}" for value in values) + "\n")
    path.write_text("".join(lines))
    return path


def explanations(store: Path) -> list[RecordedExplanation]:
    return [*asyncio.run(open_reader(store).explanations("press-4", Span()))]


def status(store: Path) -> dict[str, Any]:
    """How the agent stands, as a program reads it."""
    with Running(["broker", "status", "--store", str(store), "--json"]) as command:
        command.wait()
    (agent,) = json.loads(command.stdout)["agents"]
    return dict(agent)


def agent(broker: Broker, path: Path, *more: str) -> Agent:
    named = ("--agent-id", "press-4", "--broker", broker.address)
    return Agent("--simulate", str(path), *named, *more)


def test_a_level_that_was_accepted_is_on_show_over_restarts_until_a_reset(tmp_path: Path) -> None:
    store = tmp_path / "broker.db"
    changes = recording(tmp_path / "changes.csv", 1800, STEP_AT)
    steady = recording(tmp_path / "steady.csv", 500, 0)
    run = ("--store", str(store), "--predictor", "chart")
    with Broker(*run) as broker:
        with agent(broker, changes, "--rate", "max") as press:
            assert press.wait() == 0
        assert broker.stop() == 0
    said = explanations(store)
    (began,) = (each for each in said if each.text.startswith("alarm: "))
    (ended,) = (each for each in said if each.text.startswith("alarm is over: "))
    assert STEP_AT <= began.id < STEP_AT + 50
    assert STEP_AT + 300 <= ended.id < STEP_AT + 450
    found = re.search(r"steady, (\d+\.\d spreads off \(sensor2 \+\d+\.\d\))", ended.text)
    assert found
    with Broker(*run) as broker, agent(broker, steady, "--loop", "--rate", "5") as press:
        press.wait_for("sample 5: ")
        told = status(store)
        assert (told["state"], told["shift"], told["alarm"]) == ("steady", found[1], None)
        again = explanations(store)[len(said) :]
        assert [each.id for each in again if found[1] in each.text] == [0]
        with Running(["broker", "rebase", "press-4", "--store", str(store)]) as command:
            assert command.wait() == 0
        told = status(store)
        assert (told["state"], told["shift"]) == ("learning", None)
        assert explanations(store)[-1].text == "predictor reset, as a person asked"
        assert press.stop() == 0
        assert broker.stop() == 0
