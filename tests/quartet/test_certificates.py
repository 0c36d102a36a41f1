"""Certificates and keys as files: what is understood, and how each that is wrong is named."""

import logging
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from support.certificates import UNREADABLE, Ca, Files, Key

from quartet.certificates import Certificate, canonical, invalid, remind
from quartet.errors import SettingsError
from quartet.pem import (
    is_readable_by_all,
    read_authorities,
    read_identity,
    read_revoked,
    read_trusted,
    trusted_file,
)


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Ca:
    return Ca(tmp_path_factory.mktemp("ca"))


def read(files: Files) -> Certificate:
    return read_identity(str(files.certificate), str(files.key)).certificate


def test_names_are_the_alternative_ones_and_without_any_the_common_name(ca: Ca) -> None:
    assert read(ca.issue("one", ["press-1", "press_2", "10.0.0.7"])).names == (
        "press-1",
        "press_2",
        "10.0.0.7",
    )
    assert read(ca.issue("press-3", [])).names == ("press-3",)


def test_a_root_with_a_negative_serial_is_read_without_a_warning(ca: Ca, tmp_path: Path) -> None:
    """As some in the lists of systems have it; a warning fails the test."""
    der = bytearray(ca.certificate.public_bytes(Encoding.DER))
    der[der.index(bytes.fromhex("a003020102")) + len("a00302010202LL") // 2] |= 0x80
    file = tmp_path / "odd.pem"
    file.write_text(ssl.DER_cert_to_PEM_cert(bytes(der)))
    (found,) = read_authorities("tls.ca", str(file)).certificates
    assert found.serial < 0


def test_a_chain_is_taken_in_its_order_alone(ca: Ca) -> None:
    below = Ca(ca.directory, "below", ca)
    files = below.issue("press-1")
    assert read(files).names == ("press-1",)
    leaf, intermediate = files.certificate.read_text().split("-----END CERTIFICATE-----\n")[:2]
    end = "-----END CERTIFICATE-----\n"
    files.certificate.write_text(intermediate + end + leaf + end)
    with pytest.raises(SettingsError, match=r"tls.certificate: .*wrong order \(press-1 did not"):
        read(files)


def test_a_key_of_another_pair_is_refused(ca: Ca) -> None:
    one, two = ca.issue("one"), ca.issue("two")
    with pytest.raises(SettingsError, match=r"tls.key: .*two.key: does not belong to"):
        read(Files(one.certificate, two.key))


def test_an_encrypted_key_is_refused_with_the_command_that_opens_it(ca: Ca) -> None:
    files = ca.issue("locked")
    locked = files.key.with_suffix(".locked")
    subprocess.run(
        ["openssl", "pkey", "-in", files.key, "-aes256", "-passout", "pass:x", "-out", locked],
        check=True,
    )
    with pytest.raises(SettingsError, match=r"is encrypted.*'openssl pkey -in .*locked -out"):
        read(Files(files.certificate, locked))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        ("a directory", "Is a directory"),
        (b"", "contains no"),
        (b"garbage \xff\x00", "contains no"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "contains no"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "contains no"),
    ],
)
@pytest.mark.parametrize("setting", ["tls.certificate", "tls.key", "tls.ca", "tls.crl"])
def test_what_is_no_pem_is_named_by_setting_and_file(
    setting: str, content: bytes | str | None, reason: str, ca: Ca, tmp_path: Path
) -> None:
    good, bad = ca.issue("good"), tmp_path / "bad.pem"
    if isinstance(content, bytes):
        bad.write_bytes(content)
    elif content:
        bad.mkdir()
    reading = {
        "tls.certificate": lambda: read(Files(bad, good.key)),
        "tls.key": lambda: read(Files(good.certificate, bad)),
        "tls.ca": lambda: read_authorities(setting, str(bad)),
        "tls.crl": lambda: read_revoked(str(bad), ca.path.read_bytes()),
    }
    with pytest.raises(SettingsError) as raised:
        reading[setting]()
    assert str(raised.value).startswith(f"{setting}: {bad}: {reason}")


def test_a_device_certificate_is_not_taken_for_that_of_an_authority(ca: Ca) -> None:
    with pytest.raises(SettingsError, match=r"tls.ca: .*press-1 is not an authority's"):
        read_authorities("tls.ca", str(ca.issue("press-1").certificate))


def test_one_authority_that_is_valid_is_enough_in_a_list(
    ca: Ca, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old, soon = Ca(tmp_path, "old", days=-1), Ca(tmp_path, "soon", days=3)
    file = tmp_path / "list.pem"
    device = ca.issue("press-1").certificate
    for members, told in (((old, soon, ca), 0), ((old, soon), 2), ((old,), 1)):
        file.write_bytes(device.read_bytes() + b"".join(each.path.read_bytes() for each in members))
        caplog.clear()
        found = read_authorities("tls.ca", str(file)).certificates
        assert len(found) == len(members)  # without the device
        remind("tls.ca", found, datetime.now(UTC))
        assert len(caplog.records) == told


def test_the_authorities_of_the_system_are_those_of_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = Ca(tmp_path, "bundle").path
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    assert trusted_file("system") == str(bundle)
    assert read_trusted("system").pem == bundle.read_bytes()
    assert trusted_file(str(bundle)) == str(bundle)


def test_a_name_of_a_kind_that_names_nobody_does_not_hide_the_cn(ca: Ca) -> None:
    odd = ca.issue("press-1", ("spiffe://plant/press-1",))
    certificate = Certificate.from_pem(odd.certificate.read_bytes())
    assert certificate.names == ()
    assert str(certificate) == "CN press-1"
    with pytest.raises(SettingsError, match="its CN press-1 does not count beside names of other"):
        read_identity(str(odd.certificate), str(odd.key))


def test_several_authorities_in_a_file_are_all_trusted(ca: Ca, tmp_path: Path) -> None:
    other = Ca(tmp_path, "other")
    both = tmp_path / "both.pem"
    both.write_bytes(ca.path.read_bytes() + other.path.read_bytes())
    assert len(read_authorities("tls.ca", str(both)).certificates) == 2


def test_revoked_are_those_in_a_list_that_a_trusted_authority_signed(
    ca: Ca, tmp_path: Path
) -> None:
    good, bad = ca.issue("press-1"), ca.issue("press-2")
    crl = ca.revoke(bad)
    revoked = read_revoked(str(crl), ca.path.read_bytes())
    assert [(read(f).issuer, read(f).serial) in revoked for f in (good, bad)] == [False, True]
    with pytest.raises(SettingsError, match=r"tls.crl: .* is not signed by an authority"):
        read_revoked(str(crl), Ca(tmp_path).path.read_bytes())


def test_a_list_without_entries_revokes_nothing(ca: Ca) -> None:
    assert not read_revoked(str(ca.revoke()), ca.path.read_bytes())


def test_what_is_cut_off_is_not_taken_for_the_whole(ca: Ca, tmp_path: Path) -> None:
    other = Ca(tmp_path, "other")
    both = ca.path.read_bytes() + other.path.read_bytes()
    cut = tmp_path / "cut.pem"
    cut.write_bytes(both[:-200])
    with pytest.raises(SettingsError, match=r"tls.ca: .*its last certificate is cut off"):
        read_authorities("tls.ca", str(cut))
    lists = ca.revoke(ca.issue("a")).read_bytes() + other.revoke(other.issue("b")).read_bytes()
    cut.write_bytes(lists[:-100])
    with pytest.raises(SettingsError, match=r"tls.crl: .*its last list is cut off"):
        read_revoked(str(cut), both)
    cut.write_bytes(lists)
    assert len(read_revoked(str(cut), both)) == 2


def test_a_list_of_an_authority_that_was_taken_out_is_passed_over(
    ca: Ca, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = Ca(tmp_path, "other")
    lists = tmp_path / "both.crl"
    lists.write_bytes(
        other.revoke(other.issue("b")).read_bytes() + ca.revoke(ca.issue("a")).read_bytes()
    )
    assert len(read_revoked(str(lists), ca.path.read_bytes())) == 1
    assert "has a list by an authority that is not in tls.client_ca" in caplog.text


@pytest.mark.parametrize(
    "key",
    [
        ed25519.Ed25519PrivateKey.generate(),
        ec.generate_private_key(ec.SECP521R1()),
        ec.generate_private_key(ec.SECP256K1()),
        rsa.generate_private_key(65537, 1024),  # noqa: S505
    ],
    ids=["Ed25519", "P-521", "secp256k1", "RSA-1024"],
)
def test_a_key_that_grpc_or_prudence_does_not_accept_is_refused(ca: Ca, key: Key) -> None:
    with pytest.raises(SettingsError, match=r"its key must be P-256, P-384, or RSA of 2048 bits"):
        read(ca.issue("press-1", key=key))


@pytest.mark.parametrize(
    "key", [ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)]
)
def test_other_good_keys_are_taken(ca: Ca, key: Key) -> None:
    assert read(ca.issue("press-1", key=key)).names == ("press-1",)


def test_a_certificate_for_nobody_is_refused(ca: Ca) -> None:
    with pytest.raises(SettingsError, match=r"tls.certificate: .*contains no name"):
        read(ca.issue("none", [], subject=""))


def test_names_that_cannot_be_read_are_said_and_not_raised_otherwise(ca: Ca) -> None:
    files = ca.issue("x400", UNREADABLE)
    with pytest.raises(SettingsError, match=r"tls.certificate: .*a certificate is malformed"):
        read(files)
    with pytest.raises(ValueError, match="is malformed"):
        Certificate.from_pem(files.certificate.read_bytes())
    with pytest.raises(SettingsError, match=r"tls.ca: .*a certificate is malformed"):
        read_authorities("tls.ca", str(files.certificate))


def test_issuers_are_the_same_however_they_are_written() -> None:
    def issuer(text: str) -> str:
        return canonical(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]))

    assert issuer("Plant  CA") == issuer("PLANT CA")
    assert issuer("Plant CA") != issuer("Plant CB")


def test_many_names_are_told_in_short(ca: Ca) -> None:
    certificate = read(ca.issue("many", [f"press-{number}" for number in range(50)]))
    assert str(certificate) == "press-0, press-1, press-2 and 47 more"


def test_a_mark_at_the_begin_is_named(ca: Ca) -> None:
    files = ca.issue("marked")
    files.certificate.write_bytes(b"\xef\xbb\xbf" + files.certificate.read_bytes())
    with pytest.raises(SettingsError, match="byte order mark"):
        read(files)


def test_a_key_that_all_may_read_is_noticed(ca: Ca) -> None:
    files = ca.issue("open")
    assert not is_readable_by_all(str(files.key))
    files.key.chmod(0o644)
    assert is_readable_by_all(str(files.key))


@pytest.mark.parametrize(
    ("in_days", "level", "message"),
    [
        (0, None, ""),
        (59, None, ""),
        (61, "WARNING", "tls.certificate (press-1): expires on "),
        (89.5, "WARNING", "in 0 days"),
        (91, "ERROR", "tls.certificate (press-1): expired on "),
        (-2, "ERROR", "correct this clock"),
        (-20_000, "ERROR", "the clock is wrong, not the certificate; see 'timedatectl'"),
    ],
)
def test_what_expires_is_told_30_days_ahead_and_a_wrong_clock_is_named(
    in_days: float, level: str | None, message: str, ca: Ca, caplog: pytest.LogCaptureFixture
) -> None:
    certificate = read(ca.issue("press-1"))
    now = datetime.now(UTC) + timedelta(days=in_days)
    remind("tls.certificate", [certificate], now)
    assert [record.levelname for record in caplog.records] == ([level] if level else [])
    assert message in caplog.text
    assert bool(invalid(certificate, now)) is (level == "ERROR")


def test_reminding_is_no_more_than_a_line_for_each(
    ca: Ca, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    remind("tls.ca", [read(ca.issue("a", days=3)), read(ca.issue("b", days=5))], datetime.now(UTC))
    assert len(caplog.records) == 2
