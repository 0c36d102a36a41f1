"""The certificate authority, by its commands; OpenSSL judges what it signed."""

import stat
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clock import ManualClock
from support.patience import PATIENCE_S

from broker.__main__ import main
from broker.errors import PkiError
from broker.pki.authority import Authority
from quartet.clock import utc
from quartet.pem import read_identity, read_revoked

CaptureFixture = pytest.CaptureFixture[str]


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    assert main(["pki", "init", "--dir", str(tmp_path / "pki"), "--host", "broker.plant"]) == 0
    return tmp_path / "pki"


def do(pki: Path, *arguments: str) -> int:
    return main(["pki", *arguments, "--dir", str(pki)])


def openssl(*arguments: object) -> str:
    return subprocess.run(
        ["openssl", *map(str, arguments)], check=True, capture_output=True, text=True
    ).stdout


def request(directory: Path, *arguments: str) -> Path:
    path = directory / "device.csr"
    if "-newkey" not in arguments:
        arguments = "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", *arguments
    openssl("req", "-new", "-nodes", "-keyout", directory / "device.key", "-out", path, *arguments)
    return path


def test_what_it_issues_is_valid_for_its_use_alone(pki: Path) -> None:
    assert do(pki, "issue", "press-1") == 0
    agent, broker = pki / "agents" / "press-1.pem", pki / "broker.pem"
    verify = ("verify", "-x509_strict", "-CAfile", pki / "ca.pem", "-purpose")
    assert openssl(*verify, "sslclient", agent).strip().endswith("OK")
    assert openssl(*verify, "sslserver", "-verify_hostname", "broker.plant", broker)
    assert openssl(*verify, "sslserver", "-verify_ip", "127.0.0.1", broker)
    with pytest.raises(subprocess.CalledProcessError):
        openssl(*verify, "sslserver", agent)
    read_identity(str(agent), str(agent.with_suffix(".key")))
    text = openssl("x509", "-in", agent, "-noout", "-text")
    assert "ASN1 OID: prime256v1" in text
    assert "DNS:press-1" in text
    assert "CA:FALSE" in text


def test_keys_are_for_their_owner_alone(pki: Path) -> None:
    do(pki, "issue", "press-1")
    assert stat.S_IMODE(pki.stat().st_mode) == 0o700
    keys = [pki / "ca.key", pki / "broker.key", pki / "agents" / "press-1.key"]
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}


def test_a_device_that_keeps_its_key_gets_it_signed(pki: Path, tmp_path: Path) -> None:
    assert do(pki, "sign", str(request(tmp_path, "-subj", "/O=Acme/CN=press-7"))) == 0
    signed = pki / "agents" / "press-7.pem"
    assert read_identity(str(signed), str(tmp_path / "device.key")).certificate.names == (
        "press-7",
    )
    assert not signed.with_suffix(".key").exists()


def test_of_a_request_only_the_name_is_taken(pki: Path, tmp_path: Path) -> None:
    csr = request(
        tmp_path,
        *("-subj", "/CN=press-7", "-addext", "basicConstraints=critical,CA:TRUE"),
        *("-addext", "keyUsage=keyCertSign", "-addext", "extendedKeyUsage=serverAuth"),
    )
    assert do(pki, "sign", str(csr)) == 0
    text = openssl("x509", "-in", pki / "agents" / "press-7.pem", "-noout", "-text")
    assert "CA:TRUE" not in text
    assert "TLS Web Server Authentication" not in text
    assert "Certificate Sign" not in text


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("-subj", "/CN=press 7"), "'press 7' is not an agent id"),
        (("-subj", r"/CN=..\/..\/ca"), "'../../ca' is not an agent id"),
        (("-subj", "/O=Acme"), "asks for no name: it must ask for one, its agent id"),
        (
            ("-subj", "/CN=a", "-addext", "subjectAltName=DNS:press-1,DNS:press-2"),
            "asks for press-1, press-2",
        ),
        (
            ("-subj", "/CN=press-7", "-newkey", "rsa:1024"),
            "its key must be P-256, P-384, or RSA of 2048 bits",
        ),
        (
            ("-subj", "/CN=press-7", "-pkeyopt", "ec_paramgen_curve:secp256k1"),
            "its key must be P-256",
        ),
    ],
)
def test_a_request_that_must_not_be_signed_is_refused(
    arguments: tuple[str, ...],
    reason: str,
    pki: Path,
    tmp_path: Path,
    capsys: CaptureFixture,
) -> None:
    csr = request(tmp_path, *arguments)
    before = sorted(pki.rglob("*"))
    assert do(pki, "sign", str(csr)) == 1
    assert reason in capsys.readouterr().err
    assert sorted(pki.rglob("*")) == before


def test_a_request_with_names_that_cannot_be_read_is_refused(
    pki: Path, tmp_path: Path, capsys: CaptureFixture
) -> None:
    csr = request(tmp_path, "-subj", "/CN=press-7", "-addext", "subjectAltName=DER:3002a300")
    assert do(pki, "sign", str(csr)) == 1
    assert "is not a readable certificate request" in capsys.readouterr().err


def test_a_request_that_was_changed_on_its_way_is_refused(
    pki: Path, tmp_path: Path, capsys: CaptureFixture
) -> None:
    csr = request(tmp_path, "-subj", "/CN=press-7")
    der = bytearray(x509.load_pem_x509_csr(csr.read_bytes()).public_bytes(Encoding.DER))
    der[der.index(b"press-7") + 6] = ord("8")
    csr.write_bytes(x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM))
    assert do(pki, "sign", str(csr)) == 1
    assert "its signature is wrong" in capsys.readouterr().err


def test_the_list_tells_what_has_become_of_each(pki: Path, capsys: CaptureFixture) -> None:
    for name in ("press-1", "press-2", "press-1"):
        do(pki, "issue", name)
    capsys.readouterr()
    assert do(pki, "revoke", "press-1") == 0
    assert capsys.readouterr().out.count("revoked: press-1, serial ") == 2
    assert do(pki, "list") == 0
    lines = capsys.readouterr().out.splitlines()
    states = [(line.split()[0], line.split()[3].rstrip(",")) for line in lines]
    assert sorted(states) == [
        ("revoked", "press-1"),
        ("revoked", "press-1"),
        ("valid", "broker.plant"),
        ("valid", "press-2"),
    ]


def test_one_of_two_is_revoked_by_its_serial(pki: Path) -> None:
    do(pki, "issue", "press-1")
    old = read_identity(*pair(pki, "press-1")).certificate
    do(pki, "issue", "press-1")
    new = read_identity(*pair(pki, "press-1")).certificate
    assert do(pki, "revoke", f"{old.serial:x}") == 0
    revoked = read_revoked(str(pki / "crl.pem"), (pki / "ca.pem").read_bytes())
    assert revoked == {(old.issuer, old.serial)}
    assert (new.issuer, new.serial) not in revoked


def test_what_is_revoked_stays_so_and_once(pki: Path) -> None:
    do(pki, "issue", "press-1")
    do(pki, "issue", "press-2")
    assert [do(pki, "revoke", name) for name in ("press-1", "press-2", "press-1")] == [0, 0, 0]
    assert len(x509.load_pem_x509_crl((pki / "crl.pem").read_bytes())) == 2


def test_revocations_at_one_time_are_all_kept(pki: Path) -> None:
    names = [f"press-{number}" for number in range(8)]
    for name in names:
        do(pki, "issue", name)
    command = [sys.executable, "-m", "broker", "pki", "revoke", "--dir", str(pki)]
    revoking = [subprocess.Popen([*command, name], stdout=subprocess.DEVNULL) for name in names]
    assert [each.wait(PATIENCE_S) for each in revoking] == [0] * 8
    assert len(x509.load_pem_x509_crl((pki / "crl.pem").read_bytes())) == 8


def test_a_bad_host_at_first_leaves_nothing_behind(tmp_path: Path, capsys: CaptureFixture) -> None:
    where = ("--dir", str(tmp_path / "pki"))
    assert main(["pki", "init", *where, "--host", "my host"]) == 1
    assert "'my host' is neither a host name nor an address" in capsys.readouterr().err
    assert not (tmp_path / "pki").exists()
    assert main(["pki", "init", *where, "--host", "good.lan"]) == 0


def test_a_key_without_its_certificate_is_not_overwritten(
    pki: Path, capsys: CaptureFixture
) -> None:
    before = (pki / "ca.key").read_bytes()
    (pki / "ca.pem").unlink()
    assert do(pki, "init") == 1
    assert f"{pki / 'ca.key'} has no ca.pem: bring that back" in capsys.readouterr().err
    assert (pki / "ca.key").read_bytes() == before


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("my_broker.lan", "my_broker.lan"),
        ("_broker", "_broker"),
        ("*.plant.example", "*.plant.example"),
        ("broker.plant.", "broker.plant"),
        ("brücke.plant", "xn--brcke-lva.plant"),
    ],
)
def test_what_an_agent_can_be_told_to_reach_can_be_named(pki: Path, host: str, name: str) -> None:
    assert do(pki, "issue", "--host", host) == 0
    issued = read_identity(str(pki / "broker.pem"), str(pki / "broker.key")).certificate
    assert name in issued.names


@pytest.mark.parametrize("host", ["*.plant", "*", "a.*.example", "b/c", "*.", ""])
def test_a_name_that_no_agent_can_reach_is_refused(
    pki: Path, host: str, capsys: CaptureFixture
) -> None:
    assert do(pki, "issue", "--host", host) == 1
    assert "is neither a host name nor an address" in capsys.readouterr().err


def test_a_key_of_another_authority_signs_nothing(
    pki: Path, tmp_path: Path, capsys: CaptureFixture
) -> None:
    main(["pki", "init", "--dir", str(tmp_path / "other"), "--host", "x"])
    (pki / "ca.key").write_bytes((tmp_path / "other" / "ca.key").read_bytes())
    assert do(pki, "issue", "press-1") == 1
    assert f"{pki / 'ca.key'}: does not belong to ca.pem" in capsys.readouterr().err


def test_a_broker_at_another_address_gets_a_new_certificate(pki: Path) -> None:
    before = (pki / "broker.key").read_bytes()
    assert do(pki, "issue", "--host", "10.1.2.3", "--host", "b2.plant") == 0
    names = read_identity(str(pki / "broker.pem"), str(pki / "broker.key")).certificate.names
    assert set(names) == {"b2.plant", "localhost", "10.1.2.3", "127.0.0.1", "::1"}
    assert (pki / "broker.key").read_bytes() != before


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("init",), "already has an authority, and all devices trust it: keep it"),
        (("issue", "press 1"), "'press 1' is not an agent id"),
        (("issue", "../x"), "'../x' is not an agent id"),
        (("issue", "--host", "bad host"), "'bad host' is neither a host name nor an address"),
        (("sign", "missing.csr"), "missing.csr: No such file or directory"),
        (("revoke", "nobody"), "no certificate of 'nobody'; 'broker pki list' shows them"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(
    arguments: tuple[str, ...], reason: str, pki: Path, capsys: CaptureFixture
) -> None:
    before = {path: path.read_bytes() for path in pki.rglob("*") if path.is_file()}
    assert do(pki, *arguments) == 1
    assert reason in capsys.readouterr().err
    assert {path: path.read_bytes() for path in pki.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["ca.pem", "ca.key", "crl.pem"])
def test_a_file_that_is_missing_or_damaged_is_named(
    name: str, pki: Path, capsys: CaptureFixture
) -> None:
    do(pki, "issue", "press-1")
    (pki / name).write_bytes(b"garbage")
    assert do(pki, "revoke", "press-1") == 1
    assert f"{pki / name}: is damaged" in capsys.readouterr().err
    (pki / name).unlink()
    assert do(pki, "revoke", "press-1") == 1
    assert f"{pki / name} is missing" in capsys.readouterr().err


def test_without_an_authority_the_first_step_is_told(
    tmp_path: Path, capsys: CaptureFixture
) -> None:
    assert do(tmp_path, "issue", "press-1") == 1
    assert "'broker pki init' makes a new authority" in capsys.readouterr().err


def test_a_renewed_certificate_is_for_the_same_key_and_another_serial(pki: Path) -> None:
    do(pki, "issue", "press-1")
    certificate, key = pair(pki, "press-1")
    former = read_identity(certificate, key)
    Path(key).rename(pki / "kept.key")  # the authority need not have it
    assert do(pki, "renew", "press-1") == 0
    renewed = read_identity(certificate, str(pki / "kept.key"))
    assert renewed.certificate.serial != former.certificate.serial
    assert renewed.certificate.names == ("press-1",)


def test_the_brokers_is_renewed_for_the_same_names(pki: Path) -> None:
    def text() -> str:
        return openssl("x509", "-in", pki / "broker.pem", "-noout", "-ext", "subjectAltName")

    former, pem = text(), (pki / "broker.pem").read_bytes()
    assert do(pki, "renew", "--broker") == 0
    assert text() == former
    assert (pki / "broker.pem").read_bytes() != pem
    read_identity(str(pki / "broker.pem"), str(pki / "broker.key"))


def test_a_key_that_is_revoked_is_not_renewed(pki: Path, capsys: CaptureFixture) -> None:
    do(pki, "issue", "press-1")
    do(pki, "revoke", "press-1")
    assert do(pki, "renew", "press-1") == 1
    assert "press-1.pem: is revoked: 'broker pki issue' makes a key" in capsys.readouterr().err
    assert do(pki, "renew", "press-2") == 1
    assert "press-2.pem is missing" in capsys.readouterr().err


def test_a_key_that_was_taken_elsewhere_is_not_made_anew(pki: Path, capsys: CaptureFixture) -> None:
    (pki / "ca.key").rename(pki.parent / "ca.key")
    assert do(pki, "init") == 1
    assert "has an authority" in capsys.readouterr().err
    assert do(pki, "list") == 1


def test_what_has_expired_is_listed_as_that_and_revoked_comes_first(tmp_path: Path) -> None:
    clock = ManualClock()
    authority = Authority.init(tmp_path / "pki", ["localhost"], clock)
    authority.issue_agent("press-1")
    path = authority.issue_agent("press-2")
    assert authority.revoke("press-1")
    issued = x509.load_pem_x509_certificate(path.read_bytes())
    assert issued.not_valid_before_utc == utc(clock) - timedelta(days=1)
    clock.advance(2 * 365 * 86_400)
    assert {str(each.certificate): each.state for each in authority.issued()} == {
        "localhost": "valid",
        "press-1": "revoked",
        "press-2": "valid",
    }
    clock.advance(1.0)
    assert [each.state for each in authority.issued()].count("expired") == 2
    authority.renew_agent("press-2")
    assert [each.state for each in authority.issued()].count("valid") == 1


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.text(max_size=70))
def test_no_text_is_signed_that_is_not_an_agent_id(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    authority = Authority.init(tmp_path_factory.mktemp("pki"), ["localhost"])
    try:
        path = authority.issue_agent(text)
    except PkiError:
        return
    assert read_identity(str(path), str(path.with_suffix(".key"))).certificate.names == (text,)


def pair(pki: Path, name: str) -> tuple[str, str]:
    return str(pki / "agents" / f"{name}.pem"), str(pki / "agents" / f"{name}.key")
