"""Files of predictions as a user makes them, by both programs."""

from pathlib import Path

import pytest
from support.processes import Agent, Broker, Running

from quartet.predictions import HEADER


def evaluate(dataset: Path, *options: str) -> Running:
    return Running(["broker", "evaluate", str(dataset), *options])


def test_both_programs_write_the_same_lines_but_for_the_time(dataset: Path, tmp_path: Path) -> None:
    live, offline = tmp_path / "live.csv", tmp_path / "offline.csv"
    with (
        Broker() as broker,
        Agent(
            *("--simulate", str(dataset), "--rate", "max", "--broker", broker.address),
            *("--predictions", str(live)),
        ) as agent,
    ):
        assert agent.wait() == 0
    with evaluate(dataset, "--out", str(offline)) as command:
        assert command.wait() == 0

    def untimed(path: Path) -> list[tuple[str, str]]:
        lines = [line.split(",", 2) for line in path.read_text().splitlines()]
        return [(id_, rest) for id_, _, rest in lines]

    assert live.read_text().startswith(HEADER)
    assert len(untimed(live)) == 983
    assert untimed(live) == untimed(offline)


@pytest.mark.parametrize("program", ["agent", "broker"])
def test_a_file_that_exists_is_wrong_use_unless_something_is_said(
    program: str, dataset: Path, tmp_path: Path
) -> None:
    path = tmp_path / "out.csv"
    path.write_text("precious\n")
    if program == "agent":
        command = ["agent", "run", "--simulate", str(dataset), "--predictions", str(path)]
    else:
        command = ["broker", "evaluate", str(dataset), "--out", str(path)]
    for options, said in (
        ((), "exists already: give --overwrite to replace it, --append to add to it"),
        (("--append",), "cannot be continued: its lines are not id,time,"),
        (("--append", "--bare"), "cannot be continued: its lines are not id,prediction"),
    ):
        with Running([*command, *options]) as running:
            assert running.wait() == 2
        assert said in running.stderr
    assert path.read_text() == "precious\n"
    with Running([*command[:-2], "--append"]) as running:
        assert running.wait() == 2
    assert f"--append needs {command[-2]}" in running.stderr


def test_an_evaluation_goes_on_behind_a_crash_or_begins_again(
    dataset: Path, tmp_path: Path
) -> None:
    path = tmp_path / "out.csv"
    for options in ((), ("--append",), ("--overwrite",)):
        with evaluate(dataset, "--out", str(path), *options) as command:
            assert command.wait() == 0
        whole = path.read_text()
        assert whole.count("\n") == 1 + 982 * (2 if options == ("--append",) else 1)
        path.write_text(whole + "982,202")


def test_predictions_go_to_standard_output_and_the_summary_elsewhere(dataset: Path) -> None:
    with evaluate(dataset, "--out", "-", "--bare") as command:
        assert command.wait() == 0
    assert len(command.stdout.splitlines()) == 982
    assert command.stdout.startswith("0,0\n1,0\n")
    assert "rows              982" in command.stderr
