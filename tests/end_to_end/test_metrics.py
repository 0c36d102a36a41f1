"""/metrics and /readyz of real processes when something fails."""

import re
import urllib.error
from functools import partial
from pathlib import Path

import pytest
from support.patience import until
from support.postgres import Server
from support.processes import Agent, Broker, Running
from support.prometheus import fetched
from support.store import full_disk

METRICS = '[metrics]\nlisten = "127.0.0.1:0"\n'


def url(process: Running) -> str:
    """Where its metrics are, without the path."""
    found: str = process.wait_for(r"metrics on (http://[^/]+)/metrics")[0]
    return found


def value(process: Running, series: str) -> float:
    """The present value of a series, as it is written."""
    text = fetched(f"{url(process)}/metrics")
    found = re.search(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE)
    assert found, text
    return float(found[1])


def readiness(process: Running) -> tuple[int, str]:
    try:
        return 200, fetched(f"{url(process)}/readyz")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "metrics.toml"
    path.write_text(METRICS)
    return str(path)


def test_a_full_disk_is_told_until_it_has_room_again(
    config: str, tmp_path: Path, dataset: Path
) -> None:
    store, quick = tmp_path / "broker.db", tmp_path / "agent.toml"
    quick.write_text(f"{METRICS}[link]\nbackoff_max_s = 0.5\n")
    failures = "quartet_broker_commit_failures_total"
    with (
        Broker("--config", config, "--store", str(store)) as broker,
        Agent(
            *("--config", str(quick), "--simulate", str(dataset), "--loop", "--rate", "50"),
            *("--agent-id", "press-1", "--broker", broker.address),
        ) as agent,
    ):
        agent.wait_for("sample 20: ")
        until(lambda: readiness(broker) == readiness(agent) == (200, "ready\n"))
        assert value(broker, failures) == 0
        with full_disk(store, broker.pid):
            until(lambda: value(broker, failures) > 0)
            until(lambda: readiness(broker)[0] == 503)
            assert "the latest commit failed" in readiness(broker)[1]
            until(lambda: value(agent, "quartet_agent_link_up") == 0)
            assert readiness(agent) == (200, "ready\n")  # it takes samples
        until(lambda: readiness(broker) == (200, "ready\n"))
        until(lambda: value(agent, "quartet_agent_link_up") == 1)
        until(lambda: value(agent, "quartet_agent_waiting") < 10)
        assert value(agent, 'quartet_agent_samples_total{fate="dropped"}') == 0
        assert value(broker, 'quartet_broker_alarm{agent="press-1"}') in (0, 1)


def _leaves_out(process: Running, agent_id: str) -> bool:
    return agent_id not in fetched(f"{url(process)}/metrics")


async def test_an_agent_is_told_by_the_broker_that_has_it_now(
    config: str, dataset: Path, postgres: Server
) -> None:
    database = await postgres.create()
    run = ("--config", config, "--store", database.url)
    with Broker(*run) as first, Broker(*run) as second:
        for broker, other in ((first, second), (second, first)):
            with Agent(
                *("--simulate", str(dataset), "--loop", "--rate", "20"),
                *("--agent-id", "press-1", "--broker", broker.address),
            ) as agent:
                agent.wait_for("sample 5: ")
                assert value(broker, 'quartet_broker_alarm{agent="press-1"}') in (0, 1)
                until(partial(_leaves_out, other, "press-1"))
                assert "quartet_broker_store_bytes" not in fetched(f"{url(broker)}/metrics")
                agent.hurry()


def test_without_metrics_nothing_listens_or_is_said(tmp_path: Path) -> None:
    with Broker("--store", str(tmp_path / "broker.db")) as broker:
        broker.wait_for("recorder: ")
        assert broker.stop() == 0
        assert "http://" not in broker.stderr


def test_an_agent_names_a_port_that_is_taken_before_it_opens_anything(
    config: str, tmp_path: Path, dataset: Path
) -> None:
    with Broker("--config", config) as broker:
        taken = tmp_path / "taken.toml"
        cold = tmp_path / "cold"
        cold.mkdir()
        where = url(broker).removeprefix("http://")
        taken.write_text(f'[metrics]\nlisten = "{where}"\n[spool]\ndirectory = "{cold}"\n')
        with Agent("--config", str(taken), "--simulate", str(dataset)) as agent:
            assert agent.wait() == 1
            assert f"agent: metrics.listen: cannot listen on {where}: " in agent.stderr
            assert "Traceback" not in agent.stderr
        assert [*cold.iterdir()] == []
