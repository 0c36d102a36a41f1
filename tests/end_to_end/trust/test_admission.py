"""Who is let in by TLS: real agents, a real broker, certificates of every kind."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from support.certificates import Ca, Files
from support.processes import Agent, Broker, Running
from support.trust import Plant, endless

from wire.databroker_pb2 import BrokerRequest
from wire.databroker_pb2_grpc import BrokerServiceStub


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return Plant(tmp_path_factory.mktemp("plant"))


@pytest.fixture(scope="module")
def broker(plant: Plant) -> Iterator[Broker]:
    with Broker("--config", plant.broker_toml()) as broker:
        yield broker


def test_an_agent_with_its_certificate_is_answered(
    plant: Plant, broker: Broker, dataset: Path
) -> None:
    config = plant.agent_toml(broker.address, "press-1", plant.ca.issue("press-1"))
    with Agent("--config", config, "--simulate", str(dataset), "--rate", "max") as agent:
        assert agent.wait() == 0
    assert "predictions       982" in agent.stdout
    assert "with TLS, for agents with a certificate" in broker.stderr


def test_a_certificate_below_the_authority_is_answered(
    plant: Plant, broker: Broker, dataset: Path
) -> None:
    below = Ca(plant.directory, "below", plant.ca)
    config = plant.agent_toml(broker.address, "deep", below.issue("deep"))
    with Agent("--config", config, "--simulate", str(dataset), "--rate", "max") as agent:
        assert agent.wait() == 0


@pytest.mark.parametrize("case", ["another-ca", "expired", "not-yet-valid", "none", "wrong-ca"])
def test_who_cannot_show_what_is_asked_for_is_not_answered_and_told_why(
    case: str, plant: Plant, broker: Broker, dataset: Path, tmp_path: Path
) -> None:
    other, ca = Ca(tmp_path, "other"), None
    match case:
        case "another-ca":
            files, reason = other.issue(case), "it may refuse this device's certificate"
        case "expired":
            files, reason = plant.ca.issue(case, from_days=-9, days=-2), "certificate: expired on"
        case "not-yet-valid":
            files, reason = plant.ca.issue(case, from_days=2), "correct this clock"
        case "none":
            files, reason = None, "it may require a certificate of this device"
        case _:
            files, ca = plant.ca.issue(case), other.path
            reason = "its certificate is not signed by an authority in tls.ca"
    config = plant.agent_toml(broker.address, case, files, ca=ca)
    with endless(config, dataset) as agent:
        agent.wait_for(rf"no connection to {broker.address} \(.*{reason}")
        assert agent.hurry() == 1
    assert "round trip        none" in agent.stdout


def test_a_broker_by_another_name_is_not_trusted(own_plant: Plant, dataset: Path) -> None:
    own_plant.broker = own_plant.ca.issue("elsewhere")
    with Broker("--config", own_plant.broker_toml()) as broker:
        config = own_plant.agent_toml(broker.address, "press-1", own_plant.ca.issue("press-1"))
        with endless(config, dataset) as agent:
            agent.wait_for("no connection .*its certificate is for other names")


def test_a_broker_that_expired_is_named_by_the_agents_clock(
    own_plant: Plant, dataset: Path
) -> None:
    own_plant.broker = own_plant.ca.issue("broker", ("127.0.0.1",), from_days=-9, days=-2)
    with Broker("--config", own_plant.broker_toml()) as broker:
        broker.wait_for(r"ERROR .*tls.certificate \(127.0.0.1\): expired on .*: renew it")
        config = own_plant.agent_toml(broker.address, "press-1", own_plant.ca.issue("press-1"))
        with endless(config, dataset) as agent:
            agent.wait_for(
                r"no connection .*by this clock \(20.* the broker's certificate has expired"
            )


def test_a_broker_that_dies_is_not_taken_for_one_that_refuses(
    own_plant: Plant, dataset: Path
) -> None:
    with Broker("--config", own_plant.broker_toml()) as broker:
        config = own_plant.agent_toml(broker.address, "press-1", own_plant.ca.issue("press-1"))
        with endless(config, dataset) as agent:
            agent.wait_for("streaming to ")
            broker.kill()
            (line,) = agent.wait_for("no connection to .*")
            assert "handshake" not in line


def test_another_agents_name_is_refused_and_said_on_both_sides(
    plant: Plant, broker: Broker, dataset: Path
) -> None:
    config = plant.agent_toml(broker.address, "press-8", plant.ca.issue("press-9"))
    with endless(config, dataset) as agent:
        agent.wait_for(
            r"ERROR .*PERMISSION_DENIED: its certificate names press-9, not press-8\): see"
            " agent.id"
        )
    broker.wait_for(r"WARNING press-8 at 127.0.0.1:\d+ is refused: its certificate names press-9")


def test_plain_text_to_tls_and_tls_to_plain_text_are_named(
    plant: Plant, broker: Broker, dataset: Path
) -> None:
    with Agent("--simulate", str(dataset), "--loop", "--broker", broker.address) as agent:
        agent.wait_for(
            "no connection to .*it closes the connection before HTTP/2 begins: it may require TLS"
        )
    with Broker() as plain:
        config = plant.agent_toml(plain.address, "press-2", plant.ca.issue("press-2"))
        with endless(config, dataset) as agent:
            agent.wait_for("no connection to .*it does not use TLS")


def test_only_listed_agents_are_let_in(own_plant: Plant, dataset: Path) -> None:
    with Broker("--config", own_plant.broker_toml('[access]\nagents = ["press-1"]')) as broker:
        listed = own_plant.agent_toml(broker.address, "press-1", own_plant.ca.issue("press-1"))
        other = own_plant.agent_toml(broker.address, "press-2", own_plant.ca.issue("press-2"))
        with endless(other, dataset) as agent:
            agent.wait_for("PERMISSION_DENIED: press-2 is not in access.agents")
        with Agent("--config", listed, "--simulate", str(dataset), "--rate", "max") as agent:
            assert agent.wait() == 0


def test_a_peer_of_another_make_streams_by_server_side_tls(
    own_plant: Plant, tmp_path: Path
) -> None:
    config = tmp_path / "open.toml"
    config.write_text(
        f'[tls]\ncertificate = "{own_plant.broker.certificate}"\nkey = "{own_plant.broker.key}"\n'
        "require_client_certificate = false\n"
    )
    trusted = grpc.ssl_channel_credentials(own_plant.ca.path.read_bytes())
    with (
        Broker("--config", str(config), "--predictor", "parity") as broker,
        grpc.secure_channel(broker.address, trusted) as channel,
    ):
        broker.wait_for("with TLS, for anyone, WITHOUT a certificate")
        call = BrokerServiceStub(channel).BidirectionalStreaming
        answers = call(iter([BrokerRequest(id=4), BrokerRequest(id=7)]))
        assert [(each.id, each.prediction) for each in answers] == [(4, True), (7, False)]


# The doctor


def test_the_doctor_asks_for_admission_and_the_running_agent_keeps_its_stream(
    own_plant: Plant, dataset: Path
) -> None:
    mine = own_plant.ca.issue("press-1")
    with Broker("--config", own_plant.broker_toml()) as broker:
        config = own_plant.agent_toml(broker.address, "press-1", mine)
        check = ["agent", "check", "--virtual", "--config", config]
        with endless(config, dataset) as agent:
            agent.wait_for("streaming to ")
            with Running(check) as doctor:
                doctor.wait()
            wanted = f"passed  broker              {broker.address} answers by TLS, and would admit"
            assert f"{wanted} press-1" in doctor.stdout
            answered = len(re.findall("sample ", agent.stderr))
            agent.wait_for("sample ", answered + 50)
            assert "no connection to" not in agent.stderr
            own_plant.ca.revoke(mine)
            agent.wait_for("refuses the stream")
            with Running(check) as doctor:
                assert doctor.wait() == 1
            reason = "PERMISSION_DENIED: the certificate of press-1 is revoked"
            assert f"failed  broker              {broker.address}: {reason}" in doctor.stdout
            assert reason in agent.stderr


def test_agent_check_tells_of_certificates_and_of_the_handshake(
    plant: Plant, broker: Broker, tmp_path: Path
) -> None:
    def check(agent_id: str, files: Files | None, ca: Path | None = None) -> str:
        config = plant.agent_toml(broker.address, agent_id, files, ca=ca)
        with Running(["agent", "check", "--virtual", "--config", config]) as checking:
            code = checking.wait()
        assert bool(code) is ("failed" in checking.stdout)
        assert "Traceback" not in checking.stderr
        return checking.stdout

    good, other = plant.ca.issue("check-1"), Ca(tmp_path, "other")
    assert re.search(r"passed  broker +\S+ answers by TLS", check("check-1", good))
    assert "names check-1, not check-2: the broker would refuse it" in check("check-2", good)
    assert re.search(
        r"failed  tls.certificate +check-3: expired on \S+: renew it\n +-> broker pki renew",
        check("check-3", plant.ca.issue("check-3", from_days=-9, days=-2)),
    )
    assert re.search(
        r"passed  tls.certificate +check-4: expires on \S+, in 9 days\n +-> broker pki renew",
        check("check-4", plant.ca.issue("check-4", days=10)),
    )
    assert "right after it: it may refuse this device's certificate" in check("x", other.issue("x"))
    assert "right after it: it may require a certificate" in check("y", None)
    assert "is not signed by an authority in tls.ca" in check("check-1", good, other.path)


def test_a_broker_with_tls_is_asked_how_it_is(plant: Plant, broker: Broker) -> None:
    config = str(plant.directory / "broker.toml")
    asking = [sys.executable, "-m", "broker.healthcheck", broker.address]
    healthy = subprocess.run([*asking, "--config", config], check=False)
    assert healthy.returncode == 0
    without = subprocess.run(asking, check=False, capture_output=True, text=True)
    assert without.returncode == 1
    assert "--config" in without.stderr
