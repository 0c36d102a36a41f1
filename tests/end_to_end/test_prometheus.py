"""A real Prometheus asks a broker, an agent and a console; every query of ours has an answer."""

import json
import urllib.error
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.patience import until
from support.processes import Agent, Broker, Running
from support.prometheus import MONITORING, Prometheus, fetched, needed, promtool, running
from support.site import Console
from support.trust import Plant

METRICS = '[metrics]\nlisten = "127.0.0.1:0"\n'

QUERIES = [
    (panel["title"], target["expr"])
    for panel in json.loads((MONITORING / "quartet.json").read_text("utf-8"))["panels"]
    for target in panel.get("targets", ())
]


def where(process: Running) -> str:
    """HOST:PORT of the metrics."""
    found: str = process.wait_for(r"metrics on http://([^/]+)/metrics")[0]
    return found


@dataclass(frozen=True)
class Site:
    plant: Plant
    broker: Broker
    agent: Agent
    console: Console

    @property
    def places(self) -> dict[str, str]:
        """By job."""
        return {
            "quartet-broker": where(self.broker),
            "quartet-agent": where(self.agent),
            "quartet-console": where(self.console),
        }


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """All with TLS; the machine is in alarm, and its chip has a fault now and then."""
    directory = tmp_path_factory.mktemp("site")
    plant = Plant(directory)
    tls = f'[tls]\ncertificate = "{plant.broker.certificate}"\nkey = "{plant.broker.key}"\n'
    broker_toml, console_toml = directory / "broker.toml", directory / "console.toml"
    broker_toml.write_text(
        f'{METRICS}{tls}client_ca = "{plant.ca.path}"\n'
        '[predictor]\nuse = "limits"\n[predictor.options]\nlow = 90\nhigh = 91\n'
    )
    console_toml.write_text(METRICS + tls)
    store = directory / "broker.db"
    with Broker("--config", str(broker_toml), "--store", str(store)) as broker:
        own = plant.ca.issue("press-1")
        agent_toml = Path(plant.agent_toml(broker.address, "press-1", own))
        fault = '[[virtual.faults]]\nkind = "nack"\nafter_s = 5\nfor_s = 0.5\nevery_s = 2\n'
        agent_toml.write_text(agent_toml.read_text() + METRICS + fault)
        with (
            Agent("--config", str(agent_toml), "--virtual", "--rate", "20") as agent,
            Console(store, "--config", str(console_toml), scheme="https") as console,
        ):
            agent.wait_for("sample 10: ")
            yield Site(plant, broker, agent, console)


@pytest.fixture(scope="module")
def prometheus(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with running(tmp_path_factory.mktemp("prometheus"), site.places) as found:
        yield found


@needed
def test_promtool_finds_nothing_wrong_with_the_rules() -> None:
    promtool("check", "rules", str(MONITORING / "quartet.rules.yml"))
    promtool("test", "rules", str(MONITORING / "quartet.rules.test.yml"))
    promtool("check", "config", str(MONITORING / "prometheus.example.yml"))


@needed
@pytest.mark.parametrize("job", ["quartet-broker", "quartet-agent", "quartet-console"])
def test_promtool_finds_nothing_wrong_with_the_names(site: Site, job: str) -> None:
    text = fetched(f"http://{site.places[job]}/metrics")
    assert promtool("check", "metrics", given=text) == ""
    assert fetched(f"http://{site.places[job]}/healthz") == "ok\n"
    until(lambda: _is_ready(site.places[job]))


def _is_ready(place: str) -> bool:
    try:
        return fetched(f"http://{place}/readyz") == "ready\n"
    except urllib.error.HTTPError:
        return False


@needed
def test_each_panel_of_the_dashboard_shows_something(prometheus: Prometheus) -> None:
    missing = dict(enumerate(QUERIES))

    def are_answered() -> bool:
        for number, (_, query) in [*missing.items()]:
            if prometheus.values(query.replace("$__rate_interval", "1m")):
                del missing[number]
        return not missing

    assert len(QUERIES) > 20
    try:
        until(are_answered)
    except AssertionError:
        pytest.fail(f"no data: {missing}")


@needed
def test_what_prometheus_has_is_what_happened(prometheus: Prometheus, site: Site) -> None:
    until(lambda: len(prometheus.values("up == 1")) == 3)
    until(lambda: bool(prometheus.values("quartet_broker_alarm == 1")))
    ((labels, _),) = prometheus.values("quartet_broker_alarm")
    assert labels == {
        "__name__": "quartet_broker_alarm",
        "agent": "press-1",
        "job": "quartet-broker",
        "instance": site.places["quartet-broker"],
    }
    # No sample is told of twice: what is answered there is answered here, or on its way.
    until(lambda: bool(prometheus.values("quartet_agent_reading_failures_total > 3")))
    ((_, behind),) = prometheus.values(
        'scalar(quartet_broker_samples_total{fate="answered"})'
        ' - scalar(quartet_agent_samples_total{fate="answered"}) + vector(0)'
    )
    assert abs(behind) < 1000
    until(lambda: bool(prometheus.values("quartet_console_agents{state='alarm'}")))
    expiry = '{__name__=~"quartet_(agent|broker|console)_certificate_expiry_timestamp_seconds"}'
    until(lambda: len(prometheus.values(expiry)) == 3)


@needed
def test_who_is_gone_in_an_alarm_is_not_in_alarm_any_more(
    prometheus: Prometheus, site: Site
) -> None:
    query = dict(QUERIES)["In alarm"]

    def in_alarm() -> float:
        ((_, count),) = prometheus.values(query)
        return count

    until(lambda: in_alarm() == 1)
    own = site.plant.ca.issue("press-2")
    agent_toml = site.plant.agent_toml(site.broker.address, "press-2", own)
    with Agent("--config", agent_toml, "--virtual", "--rate", "20"):
        until(lambda: in_alarm() == 2)
    until(lambda: in_alarm() == 1)
    assert prometheus.values('quartet_broker_alarm{agent="press-2"} == 1')


@needed
def test_the_rules_hold_and_an_alarm_comes(prometheus: Prometheus) -> None:
    def alerts() -> set[str]:
        return {
            each["labels"]["alertname"]
            for each in prometheus.ask("alerts")["alerts"]
            if each["state"] == "firing"
        }

    until(lambda: "QuartetInAlarm" in alerts())

    def healths() -> dict[str, str]:
        (group,) = prometheus.ask("rules")["groups"]
        return {rule["name"]: rule["health"] for rule in group["rules"]}

    until(lambda: "unknown" not in healths().values())  # the first round through them has ended
    assert healths() == dict.fromkeys(healths(), "ok")
    assert not alerts() & {"QuartetAgentSilent", "QuartetRecorderFails", "QuartetSamplesLost"}


def test_a_port_that_is_taken_is_told_before_anything_starts(site: Site, tmp_path: Path) -> None:
    config = tmp_path / "broker.toml"
    config.write_text(f'[metrics]\nlisten = "{site.places["quartet-broker"]}"\n')
    run = ["broker", "run", "--listen", "127.0.0.1:0", "--store", str(tmp_path / "other.db")]
    with Running([*run, "--config", str(config)]) as second:
        assert second.wait() == 1
        assert "broker: metrics.listen: cannot listen on 127.0.0.1:" in second.stderr
        assert "Traceback" not in second.stderr
    assert not (tmp_path / "other.db").exists()
