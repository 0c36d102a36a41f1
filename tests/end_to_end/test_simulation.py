"""The simulation as a user runs it: real processes, real sockets."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.ports import kept_port
from support.processes import Agent, Broker, Running

ROWS = 982


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker("--predictor", "parity") as broker:
        yield broker


def by_parity(count: int) -> str:
    return "".join(f"{id_},{id_ % 2 == 0:d}\n" for id_ in range(count))


@pytest.mark.parametrize("rate", ["max", "700"])
def test_each_row_comes_back_as_a_prediction_in_order(
    rate: str, broker: Broker, dataset: Path, tmp_path: Path
) -> None:
    table = tmp_path / "predictions.csv"
    with Agent(
        *("--simulate", str(dataset), "--rate", rate),
        *("--broker", broker.address, "--bare", "--predictions", str(table)),
    ) as agent:
        assert agent.wait() == 0
    assert table.read_text() == by_parity(ROWS)
    assert "samples           982\n" in agent.stdout
    assert "predictions       982 (True 491, False 491)\n" in agent.stdout
    assert "round trip        p50 " in agent.stdout
    assert "reconnects        0\n" in agent.stdout
    assert len(agent.wait_for(r"sample 981: ")) == 1
    assert "experiment" not in agent.stderr  # gRPC would name a setting that it does not know


def test_the_default_predictor_sees_the_fault_of_the_shipped_dataset(
    dataset: Path, tmp_path: Path
) -> None:
    live, offline = tmp_path / "live.csv", tmp_path / "offline.csv"
    with (
        Broker() as broker,
        Agent(
            *("--simulate", str(dataset), "--rate", "max", "--broker", broker.address),
            *("--bare", "--predictions", str(live)),
        ) as agent,
    ):
        assert agent.wait() == 0
        broker.wait_for("WARNING .*: sample 644: alarm: MEWMA is .*: sensor1 100%")
    assert "(True 338, False 644)" in agent.stdout
    with Running(["broker", "evaluate", str(dataset), "--bare", "--out", str(offline)]) as evaluate:
        assert evaluate.wait() == 0
    assert offline.read_text() == live.read_text()


def test_a_broker_killed_and_restarted_in_the_middle_loses_nothing(
    dataset: Path, tmp_path: Path
) -> None:
    table = tmp_path / "predictions.csv"
    config = tmp_path / "agent.toml"
    config.write_text("[link]\nbackoff_max_s = 0.5\n")
    with (
        kept_port() as port,
        Broker("--predictor", "parity", port=port) as broker,
        Agent(
            *("--config", str(config), "--simulate", str(dataset), "--rate", "400"),
            *("--broker", broker.address, "--bare", "--predictions", str(table)),
        ) as agent,
    ):
        agent.wait_for(r"sample 100: ")
        broker.kill()
        agent.wait_for("WARNING no connection to")
        with Broker("--predictor", "parity", port=port):
            agent.wait_for("streaming to .*, after .* s")
            assert agent.wait() == 0
    assert table.read_text() == by_parity(ROWS)
    assert "reconnects        1\n" in agent.stdout


def test_a_broker_stopped_in_the_middle_answers_what_it_received(
    dataset: Path, tmp_path: Path
) -> None:
    table = tmp_path / "predictions.csv"
    with (
        kept_port() as port,
        Broker("--predictor", "parity", port=port) as broker,
        Agent(
            *("--simulate", str(dataset), "--rate", "max", "--broker", broker.address),
            *("--bare", "--predictions", str(table), "--loop"),
        ) as agent,
    ):
        agent.wait_for(r"sample 500: ")
        assert broker.stop() == 0
        agent.wait_for("the broker is stopping|no connection to")
        with Broker("--predictor", "parity", port=port):
            agent.wait_for("streaming to .*, after .* s")
            agent.signal(signal.SIGINT)
            assert agent.wait() == 0
    answered = table.read_text()
    assert answered == by_parity(answered.count("\n"))


def test_an_absent_broker_is_waited_for_and_this_is_said(dataset: Path) -> None:
    with (
        kept_port() as port,
        Agent(
            "--simulate", str(dataset), "--rate", "max", "--broker", f"127.0.0.1:{port}"
        ) as agent,
    ):
        agent.wait_for(
            "WARNING no connection to .*cannot be reached .*: the agent keeps its samples and"
        )
        with Broker("--predictor", "parity", port=port):
            assert agent.wait() == 0
    assert "predictions       982 " in agent.stdout


def test_an_unknown_host_is_named(dataset: Path) -> None:
    with Agent(
        *("--simulate", str(dataset), "--broker", "no-such-host.invalid:8061", "--insecure")
    ) as agent:
        agent.wait_for("WARNING no connection to no-such-host.invalid:8061")


def test_ctrl_c_drains_and_ends_in_order(broker: Broker, dataset: Path) -> None:
    with Agent("--simulate", str(dataset), "--loop", "--broker", broker.address) as agent:
        agent.wait_for("sample 3: ")
        agent.signal(signal.SIGINT)
        assert agent.wait() == 0
    assert "without answer" not in agent.stdout


def test_ctrl_c_without_a_broker_gives_up_after_a_while_and_fails(dataset: Path) -> None:
    with (
        kept_port() as port,
        Agent("--simulate", str(dataset), "--loop", "--broker", f"127.0.0.1:{port}") as agent,
    ):
        agent.wait_for("no connection to")
        assert agent.hurry() == 1
    assert "without answer    " in agent.stdout


def test_two_agents_have_lines_of_their_own(broker: Broker, dataset: Path, tmp_path: Path) -> None:
    tables = [tmp_path / f"{name}.csv" for name in ("press-1", "press-2")]
    configs = [tmp_path / f"{name}.toml" for name in ("press-1", "press-2")]
    for config in configs:
        config.write_text(f'[agent]\nid = "{config.stem}"\n')
    agents = [
        Agent(
            *("--config", str(config), "--simulate", str(dataset), "--rate", "max"),
            *("--broker", broker.address, "--bare", "--predictions", str(table)),
        )
        for config, table in zip(configs, tables, strict=True)
    ]
    for agent, table in zip(agents, tables, strict=True):
        with agent:
            assert agent.wait() == 0
        assert table.read_text() == by_parity(ROWS)


def test_a_recording_is_replayed_at_its_own_times_and_in_part(
    broker: Broker, tmp_path: Path
) -> None:
    recording, table = tmp_path / "logged.csv", tmp_path / "predictions.csv"
    rows = [f"2026-11-24 10:{n // 6:02d}:{n % 6}0,{n % 4},{n % 5},{n % 7},1\n" for n in range(60)]
    recording.write_text("time,a,b,c,d\n" + "".join(rows))
    run = ("--simulate", str(recording), "--columns", "a,b,c,d", "--broker", broker.address)
    with Agent(
        *(*run, "--rate", "recorded", "--speed", "10000", "--from", "100"),
        *("--to", "2026-11-24 10:05", "--predictions", str(table)),
    ) as agent:
        assert agent.wait() == 0
    values = [line.split(",")[2:6] for line in table.read_text().splitlines()[1:]]
    assert values == [[str(n % 4), str(n % 5), str(n % 7), "1"] for n in range(10, 30)]
    for options, said in (
        (("--speed", "2"), 'source.speed: works with sampling.rate_hz = "recorded" only'),
        (("--from", "soon"), "expected a date and time such as"),
        (("--to", "2025-01-01"), "has no row from --from to --to"),
    ):
        with Agent(*run, *options) as agent:
            assert agent.wait() == 2
        assert said in agent.stderr
    with Agent("--virtual", "--from", "1") as agent:
        assert agent.wait() == 2
    assert "--speed, --from and --to need --simulate" in agent.stderr
