"""`broker rebase` as an operator runs it: beside a broker and an agent, or without them."""

from collections.abc import Sequence
from pathlib import Path

from support.processes import Agent, Broker, Running


def rebased(store: Path) -> str:
    """What the command says."""
    with Running(["broker", "rebase", "press-4", "--store", str(store)]) as command:
        assert command.wait() == 0
    assert command.stderr == ""
    return command.stdout


def sampling(broker: Broker, dataset: Path) -> Sequence[str]:
    return (
        *("--simulate", str(dataset), "--loop", "--rate", "50", "--agent-id", "press-4"),
        *("--broker", broker.address),
    )


def test_a_reset_is_waited_for_where_samples_come_and_told_where_none_do(
    dataset: Path, tmp_path: Path
) -> None:
    store = tmp_path / "broker.db"
    with Broker("--store", str(store)) as broker:
        with Agent(*sampling(broker, dataset)) as agent:
            agent.wait_for("sample 5: ")
            assert rebased(store) == "press-4: its predictor is reset, and learns again\n"
            broker.wait_for("press-4: predictor reset, as a person asked")
            assert agent.stop() == 0
        assert rebased(store).startswith("press-4: sends no samples now: its predictor is reset at")
        assert broker.stop() == 0
    assert rebased(store).startswith("press-4: no broker runs: its predictor is reset at its next")
    with (
        Broker("--store", str(store)) as broker,
        Agent(*sampling(broker, dataset)) as agent,
    ):
        broker.wait_for("press-4: predictor reset, as a person asked")
        assert agent.stop() == 0
