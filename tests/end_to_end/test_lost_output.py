"""Services whose standard output takes nothing: they go on, because nobody needs it."""

from pathlib import Path

import pytest
from support.processes import Agent, Broker, Running

CLOSED, FULL = ">&-", ">/dev/full"

without_output = pytest.mark.parametrize(
    "where",
    [
        CLOSED,
        pytest.param(
            FULL,
            marks=pytest.mark.skipif(
                not Path("/dev/full").exists(), reason="no full disk to write to"
            ),
        ),
    ],
)


def under(where: str) -> list[str]:
    return ["sh", "-c", f'exec "$@" {where}', "sh"]


@pytest.fixture
def loud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A predictor that prints more than any buffer holds."""
    (tmp_path / "loud.py").write_text(
        "class Loud:\n    def predict(self, sample):\n        print('x' * 20_000)\n"
        "        return False\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "loud:Loud"


@without_output
def test_what_a_predictor_prints_fails_no_prediction(where: str, loud: str, dataset: Path) -> None:
    with (
        Broker("--predictor", loud, under=under(where)) as broker,
        Agent(
            *("--simulate", str(dataset), "--loop", "--rate", "50"),
            *("--agent-id", "press-4", "--broker", broker.address),
        ) as agent,
    ):
        agent.wait_for("sample 5: ")
        assert agent.stop() == 0
        assert broker.stop() == 0
    assert "StdoutError" not in broker.stderr
    assert "reconnected" not in agent.stderr


@without_output
def test_a_console_serves_that_cannot_print_where(where: str, tmp_path: Path) -> None:
    store = tmp_path / "broker.db"
    with Broker("--store", str(store)) as broker:
        assert broker.stop() == 0
    arguments = ["broker", "console", "--store", str(store), "--listen", "127.0.0.1:0"]
    with Running(arguments, under=under(where)) as console:
        console.wait_for("listening on http://127.0.0.1:")
        assert console.stop() == 0
