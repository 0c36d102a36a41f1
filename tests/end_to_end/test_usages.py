"""What a certificate is for, and what is wrong with one: told apart on both sides."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from support.certificates import LOOPBACK, Ca, Files
from support.processes import Agent, Broker, Running
from support.trust import Plant

from broker.pki.authority import Authority

CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
ANY, OTHER = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE, ExtendedKeyUsageOID.CODE_SIGNING
FOR_CLIENTS = "made for clients, not for servers"


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    return Plant(tmp_path)


def agent(config: str, dataset: Path) -> Agent:
    return Agent("--config", config, "--simulate", str(dataset), "--loop", "--rate", "100")


def checked(config: str) -> str:
    with Running(["agent", "check", "--virtual", "--config", config]) as check:
        check.wait()
    assert "Traceback" not in check.stderr
    return check.stdout


def test_a_broker_with_a_certificate_for_clients_is_told_as_what_it_is(
    plant: Plant, dataset: Path
) -> None:
    plant.broker = plant.ca.issue("broker", LOOPBACK, uses=[CLIENT])
    with Broker("--config", plant.broker_toml()) as broker:
        broker.wait_for(f"ERROR .*tls.certificate .*{FOR_CLIENTS}.*; no agent accepts it")
        config = plant.agent_toml(broker.address, "press-1", plant.ca.issue("press-1"))
        with agent(config, dataset) as running:
            running.wait_for(f"no connection to .*{FOR_CLIENTS}: 'broker pki issue --host HOST'")
        assert re.search(
            r"failed  broker .* certificate is made for clients.*\n +-> broker pki issue --host",
            checked(config),
        )


@pytest.mark.parametrize(
    ("uses", "what"),
    [([SERVER], "servers"), ([OTHER], "something else"), ([ANY], "something else")],
)
def test_an_agent_without_a_certificate_for_clients_is_told_so(
    uses: Sequence[x509.ObjectIdentifier], what: str, plant: Plant, dataset: Path
) -> None:
    with Broker("--config", plant.broker_toml()) as broker:
        files = plant.ca.issue("press-1", uses=uses)
        config = plant.agent_toml(broker.address, "press-1", files)
        with agent(config, dataset) as running:
            running.wait_for(f"ERROR .*tls.certificate .*made for {what}.*no broker accepts it")
            running.wait_for(f"no connection to .*this device's certificate: made for {what}")
        assert re.search(
            rf"failed  tls.certificate +press-1: made for {what}.*\n +-> broker pki issue press-1",
            checked(config),
        )


@pytest.mark.parametrize("uses", [[], [CLIENT], [CLIENT, SERVER]])
def test_a_certificate_for_clients_or_for_all_streams(
    uses: Sequence[x509.ObjectIdentifier], plant: Plant, dataset: Path
) -> None:
    with Broker("--config", plant.broker_toml()) as broker:
        files = plant.ca.issue("press-1", uses=uses)
        config = plant.agent_toml(broker.address, "press-1", files)
        with Agent("--config", config, "--simulate", str(dataset), "--rate", "max") as running:
            assert running.wait() == 0


def test_nobody_is_an_agent_by_the_brokers_own_certificate(plant: Plant, dataset: Path) -> None:
    pki = plant.directory / "pki"
    Authority.init(pki, ["127.0.0.1", "broker"])
    plant.broker = Files(pki / "broker.pem", pki / "broker.key")
    plant.ca.path, plant.crl = pki / "ca.pem", pki / "crl.pem"
    with Broker("--config", plant.broker_toml()) as broker:
        config = plant.agent_toml(broker.address, "broker", plant.broker)
        with agent(config, dataset) as running:
            running.wait_for("PERMISSION_DENIED: the certificate of .* is the broker's own")
        broker.wait_for("broker at .* is refused: .*'broker pki issue AGENT' makes one")
        former = Files(plant.directory / "former.pem", plant.broker.key)
        former.certificate.write_bytes(plant.broker.certificate.read_bytes())
        Authority(pki).renew_broker()
        broker.wait_for("certificates reloaded")
        config = plant.agent_toml(broker.address, "broker", former)
        with agent(config, dataset) as running:
            running.wait_for("PERMISSION_DENIED: the certificate of .* is the broker's own")


def test_an_authority_that_expired_beside_a_good_one_is_no_failure(
    plant: Plant, tmp_path: Path
) -> None:
    listed = tmp_path / "list.pem"
    listed.write_bytes(Ca(tmp_path, "old", days=-1).path.read_bytes() + plant.ca.path.read_bytes())
    with Broker("--config", plant.broker_toml()) as broker:
        mine = plant.ca.issue("press-1")
        said = checked(plant.agent_toml(broker.address, "press-1", mine, ca=listed))
    assert "passed  tls.ca              2 authorities, 1 of them not valid now" in said
    assert re.search("passed  broker .*would admit press-1", said)


def test_an_authority_that_expired_is_not_taken_for_the_broker(
    plant: Plant, dataset: Path, tmp_path: Path
) -> None:
    old = Ca(tmp_path, "old", days=-1)
    plant.broker = old.issue("broker", LOOPBACK)
    with Broker("--config", plant.broker_toml()) as broker:
        mine = plant.ca.issue("press-1")
        config = plant.agent_toml(broker.address, "press-1", mine, ca=old.path)
        with agent(config, dataset) as running:
            running.wait_for("no connection to .*tls.ca: expired on .*: renew it")


@pytest.mark.parametrize(
    ("names", "how", "told", "remedy"),
    [
        (LOOPBACK, {"from_days": -9, "days": -2}, "has expired", "broker pki renew --broker"),
        (LOOPBACK, {"from_days": 2}, "is not valid yet", "sudo timedatectl set-ntp true"),
        (("elsewhere",), {}, "for other names", "set broker.address"),
        (LOOPBACK, {"uses": [CLIENT]}, "for clients", "broker pki issue --host HOST"),
        (None, {}, "self-signed certificate|unable to get", "copy the ca.pem"),
    ],
)
def test_the_doctor_tells_what_is_wrong_with_a_brokers_certificate_and_what_mends_it(
    names: Sequence[str] | None,
    how: dict[str, Any],
    told: str,
    remedy: str,
    plant: Plant,
) -> None:
    signer = plant.ca if names else Ca(plant.directory, "other")
    plant.broker = signer.issue("broker", names or LOOPBACK, **how)
    with Broker("--config", plant.broker_toml()) as broker:
        said = checked(plant.agent_toml(broker.address, "press-1", plant.ca.issue("press-1")))
    assert re.search(rf"failed  broker .*certificate .*({told}).*\n +-> {remedy}", said)
