"""Certificates that change, or are spoilt or revoked, while agents and broker run."""

import re
import shutil
import ssl
from pathlib import Path

import grpc
import pytest
from support.certificates import UNREADABLE, Files
from support.processes import Broker
from support.trust import Plant, endless

from quartet.certificates import Certificate
from wire.databroker_pb2 import BrokerRequest
from wire.databroker_pb2_grpc import BrokerServiceStub


def serial(files: Files) -> int:
    return Certificate.from_pem(files.certificate.read_bytes()).serial


def copy(source: Files, target: Files) -> None:
    """As a deployment does: one after the other, each in place at once."""
    for name in ("certificate", "key"):
        path: Path = getattr(target, name)
        shutil.copy(getattr(source, name), path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)


def test_a_broker_takes_a_new_certificate_without_dropping_a_stream(
    own_plant: Plant, dataset: Path
) -> None:
    def shown() -> int:
        pem = ssl.get_server_certificate(("127.0.0.1", broker.port))
        return Certificate.from_pem(pem.encode()).serial

    with Broker("--config", own_plant.broker_toml()) as broker:
        config = own_plant.agent_toml(broker.address, "press-1", own_plant.ca.issue("press-1"))
        with endless(config, dataset) as agent:
            agent.wait_for("streaming to ")
            assert shown() == serial(own_plant.broker)
            new = own_plant.ca.issue("renewed", ("127.0.0.1", "localhost"))
            copy(new, own_plant.broker)
            broker.wait_for("certificates reloaded")
            assert shown() == serial(new)
            answered = len(re.findall("sample ", agent.stderr))
            agent.wait_for("sample ", answered + 100)
            assert "no connection to" not in agent.stderr
            assert agent.stop() == 0
        assert "reconnects        0" in agent.stdout


def test_an_agent_takes_a_new_certificate_and_loses_nothing(
    own_plant: Plant, dataset: Path, tmp_path: Path
) -> None:
    table = tmp_path / "predictions.csv"
    with Broker("--config", own_plant.broker_toml()) as broker:
        mine = own_plant.ca.issue("press-1")
        former = Files(tmp_path / "former.pem", tmp_path / "former.key")
        copy(mine, former)
        config = own_plant.agent_toml(broker.address, "press-1", mine)
        with endless(config, dataset, "--bare", "--predictions", str(table)) as agent:
            agent.wait_for("streaming to ")
            copy(own_plant.ca.issue("new", ("press-1",)), mine)
            agent.wait_for("certificates reloaded")
            broker.wait_for("press-1 at .*: connected$", 2)
            own_plant.ca.revoke(former)  # nothing streams by it any more
            broker.wait_for("tls.crl reloaded: 1 revoked")
            answered = len(re.findall("sample ", agent.stderr))
            agent.wait_for("sample ", answered + 100)
            assert agent.stop() == 0
    assert not re.search("no connection to|refuses", agent.stderr)
    assert not re.search("is cut off|is refused", broker.stderr)
    ids = [int(line.partition(",")[0]) for line in table.read_text().splitlines()]
    assert ids == list(range(len(ids)))
    assert f"samples           {len(ids)}\n" in agent.stdout


def test_a_certificate_that_is_spoilt_on_disk_leaves_the_former_in_use(
    own_plant: Plant, dataset: Path
) -> None:
    with Broker("--config", own_plant.broker_toml()) as broker:
        mine = own_plant.ca.issue("press-1")
        config = own_plant.agent_toml(broker.address, "press-1", mine)
        with endless(config, dataset) as agent:
            agent.wait_for("streaming to ")
            mine.certificate.write_text("oops")
            own_plant.broker.key.unlink()
            agent.wait_for(
                "tls.certificate: .*contains no certificate in PEM.*old one stays in use"
            )
            broker.wait_for("tls.key: .*No such file or directory; the old one stays in use")
            answered = len(re.findall("sample ", agent.stderr))
            agent.wait_for("sample ", answered + 50)
            assert "no connection to" not in agent.stderr


def test_a_revoked_agent_is_cut_off_and_others_never_notice(
    own_plant: Plant, dataset: Path
) -> None:
    one, two = own_plant.ca.issue("press-1"), own_plant.ca.issue("press-2")
    with Broker("--config", own_plant.broker_toml()) as broker:
        first = own_plant.agent_toml(broker.address, "press-1", one)
        second = own_plant.agent_toml(broker.address, "press-2", two)
        with endless(first, dataset) as revoked, endless(second, dataset) as other:
            revoked.wait_for("streaming to ")
            other.wait_for("streaming to ")
            own_plant.ca.revoke(one)
            broker.wait_for(r"press-1 at \S+ is cut off: the certificate of press-1 is revoked")
            revoked.wait_for("ERROR .*PERMISSION_DENIED: the certificate of press-1 is revoked")
            broker.wait_for(r"press-1 at \S+ is refused: the certificate of press-1 is revoked")
            answered = len(re.findall("sample ", other.stderr))
            other.wait_for("sample ", answered + 50)
            assert other.stop() == 0


def test_a_file_that_no_library_reads_stops_neither_side(own_plant: Plant, dataset: Path) -> None:
    one = own_plant.ca.issue("press-1")
    good = own_plant.ca.path.read_bytes()
    with (
        Broker("--config", own_plant.broker_toml()) as broker,
        endless(own_plant.agent_toml(broker.address, "press-1", one), dataset) as agent,
    ):
        agent.wait_for("streaming to ")
        odd = own_plant.ca.issue("odd", UNREADABLE).certificate.read_bytes()
        own_plant.ca.path.write_bytes(good + odd)
        agent.wait_for("tls.ca: .*a certificate is malformed.*the old one stays in use")
        broker.wait_for("tls.client_ca: .*a certificate is malformed.*the old one stays in use")
        own_plant.ca.path.write_bytes(good)
        own_plant.ca.revoke(one)
        broker.wait_for("press-1 at .* is cut off")


def test_a_device_whose_certificate_no_library_reads_is_denied(
    own_plant: Plant,
) -> None:
    odd = own_plant.ca.issue("odd", UNREADABLE)
    trusted, key = own_plant.ca.path.read_bytes(), odd.key.read_bytes()
    credentials = grpc.ssl_channel_credentials(trusted, key, odd.certificate.read_bytes())
    with (
        Broker("--config", own_plant.broker_toml()) as broker,
        grpc.secure_channel(broker.address, credentials) as channel,
    ):
        call = BrokerServiceStub(channel).BidirectionalStreaming(iter([BrokerRequest()]))
        with pytest.raises(grpc.RpcError) as raised:
            list(call)
        assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED
        broker.wait_for("has a certificate that cannot be read")
    assert "Traceback" not in broker.stderr
