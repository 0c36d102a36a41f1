"""TLS as a user has it: real agents, a real broker, certificates of every kind."""

import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from support.certificates import UNREADABLE, Ca, Files
from support.processes import Agent, Broker, Running
from support.trust import Plant

from quartet.certificates import Certificate
from wire.databroker_pb2 import BrokerRequest
from wire.databroker_pb2_grpc import BrokerServiceStub

ROWS = 982


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return Plant(tmp_path_factory.mktemp("plant"))


@pytest.fixture(scope="module")
def broker(plant: Plant) -> Iterator[Broker]:
    with Broker("--config", plant.broker_toml()) as broker:
        yield broker


@pytest.fixture
def own_plant(tmp_path: Path) -> Plant:
    return Plant(tmp_path)


def endless(config: str, dataset: Path, *more: str) -> Agent:
    return Agent("--config", config, "--simulate", str(dataset), "--loop", "--rate", "100", *more)


def serial(files: Files) -> int:
    return Certificate.from_pem(files.certificate.read_bytes()).serial


def copy(source: Files, target: Files) -> None:
    """As a deployment does: one after the other, each in place at once."""
    for name in ("certificate", "key"):
        path: Path = getattr(target, name)
        shutil.copy(getattr(source, name), path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)


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


# Certificates that change


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


# Bad files, and secrets


@pytest.mark.parametrize("who", ["agent", "broker"])
def test_files_that_do_not_fit_start_nothing(who: str, own_plant: Plant, dataset: Path) -> None:
    mixed = Files(own_plant.broker.certificate, own_plant.ca.issue("other").key)
    if who == "broker":
        own_plant.broker = mixed
        arguments = ["broker", "run", "--config", own_plant.broker_toml()]
    else:
        config = own_plant.agent_toml("127.0.0.1:1", "press-1", mixed)
        arguments = ["agent", "run", "--config", config, "--simulate", str(dataset)]
    with Running(arguments) as process:
        assert process.wait() == 2
    assert re.search(rf"{who}: tls.key: .*other.key: does not belong", process.stderr)
    assert "Traceback" not in process.stderr


def test_a_key_that_all_may_read_is_warned_about(own_plant: Plant, dataset: Path) -> None:
    mine = own_plant.ca.issue("press-1")
    for files in (mine, own_plant.broker):
        files.key.chmod(0o644)
    with Broker("--config", own_plant.broker_toml()) as broker:
        broker.wait_for("WARNING tls.key: .*run 'chmod 600' on it")
        config = own_plant.agent_toml(broker.address, "press-1", mine)
        with endless(config, dataset) as agent:
            agent.wait_for("WARNING tls.key: .*run 'chmod 600' on it")


def test_no_secret_is_in_a_log_or_on_a_command_line(own_plant: Plant, dataset: Path) -> None:
    mine = own_plant.ca.issue("press-1")
    secrets = [
        line
        for files in (mine, own_plant.broker)
        for line in files.key.read_text().splitlines()
        if "KEY" not in line
    ]
    with Broker("--config", own_plant.broker_toml('[log]\nlevel = "debug"')) as broker:
        config = Path(own_plant.agent_toml(broker.address, "press-1", mine))
        config.write_text(config.read_text() + '[log]\nlevel = "debug"\n')
        with endless(str(config), dataset) as agent:
            agent.wait_for("sample ", 20)
            shown = "".join(
                Path(f"/proc/{process.pid}/{what}").read_text()
                for process in (agent, broker)
                for what in ("cmdline", "environ")
            )
            assert agent.stop() == 0
        assert broker.stop() == 0
    shown += agent.stdout + agent.stderr + broker.stdout + broker.stderr
    assert len(secrets) >= 4
    assert not [secret for secret in secrets if secret in shown]


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
