"""A simulation of nobody's device: a line of its own at each run, which touches no other."""

import asyncio
from pathlib import Path

import pytest
from support.processes import Agent, Broker

from broker.recorder.reader import Accounts
from broker.recorder.sqlite.reader import SqliteReader


def replay(dataset: Path, broker: Broker, *options: str) -> Agent:
    return Agent(
        *("--simulate", str(dataset), "--rate", "max", "--broker", broker.address, *options)
    )


def accounts(store: Path) -> Accounts:
    return asyncio.run(SqliteReader(store).accounts())


@pytest.mark.parametrize("is_durable", [False, True])
def test_the_same_file_gets_the_same_answers_each_time(
    dataset: Path, tmp_path: Path, *, is_durable: bool
) -> None:
    store = tmp_path / "broker.db"
    with Broker(*(("--store", str(store)) if is_durable else ())) as broker:
        for run in range(2):
            with replay(dataset, broker) as agent:
                assert agent.wait() == 0
                (name,) = agent.wait_for("this simulation streams as (rehearsal-[^ ]+), a new")
            assert "predictions       982 (True 338, False 644)\n" in agent.stdout
            broker.wait_for(f"WARNING {name}: sample 644: alarm", count=1)
            assert broker.stderr.count(": sample 644: alarm: ") == run + 1
        assert broker.stop() == 0
    if is_durable:
        assert [each.is_rehearsal for each in accounts(store).sessions] == [True, True]


def test_a_rehearsal_leaves_the_devices_own_line_as_it_is(dataset: Path, tmp_path: Path) -> None:
    store = tmp_path / "broker.db"
    with Broker("--store", str(store)) as broker:
        for name in (("--agent-id", "press-4"), (), ("--agent-id", "press-4")):
            with replay(dataset, broker, *name) as agent:
                assert agent.wait() == 0
            if name:
                assert "this simulation streams as" not in agent.stderr
        assert broker.stop() == 0
    sessions = accounts(store).sessions
    assert [each.is_rehearsal for each in sessions] == [False, True, False]
    assert [each.agent_id for each in sessions if not each.is_rehearsal] == ["press-4"] * 2


def test_a_broker_with_a_list_says_how_a_simulation_takes_a_name(
    dataset: Path, tmp_path: Path
) -> None:
    config = tmp_path / "broker.toml"
    config.write_text('[access]\nagents = ["press-4"]\n')
    with Broker("--config", str(config)) as broker:
        with replay(dataset, broker) as agent:
            agent.wait_for("is not in access.agents; give the simulation a name .*: --agent-id")
            agent.kill()
        with replay(dataset, broker, "--agent-id", "press-4") as agent:
            assert agent.wait() == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--agent-id", "press 4"), "argument --agent-id: expected a name of 1 to 64 characters"),
        (("--config", "tls.toml"), "agent.id: a simulation with [tls] needs the name in its"),
    ],
)
def test_wrong_use_is_named_and_nothing_is_started(
    options: tuple[str, str], message: str, dataset: Path, tmp_path: Path
) -> None:
    (tmp_path / "tls.toml").write_text('[tls]\nca = "ca.pem"\n')
    key, value = options
    value = str(tmp_path / value) if key == "--config" else value
    with Agent("--simulate", str(dataset), key, value) as agent:
        assert agent.wait() == 2
    assert message in agent.stderr
