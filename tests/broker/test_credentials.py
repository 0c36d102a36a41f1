"""Whose certificate is good, by the broker's files and the time."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID
from support.certificates import Ca, Files

from broker.config import TlsSettings
from broker.credentials import Credentials
from quartet.certificates import Certificate


@pytest.fixture
def ca(tmp_path: Path) -> Ca:
    return Ca(tmp_path)


def credentials(ca: Ca, crl: Path | None) -> Credentials:
    files = ca.broker()
    return Credentials(
        TlsSettings(
            str(files.certificate),
            str(files.key),
            client_ca=str(ca.path),
            crl=str(crl) if crl else None,
        )
    )


def shown(files: Files) -> Certificate:
    return Certificate.from_pem(files.certificate.read_bytes())


def test_what_was_good_at_the_handshake_is_not_for_ever(ca: Ca) -> None:
    revoked, expired, good = ca.issue("a"), ca.issue("b", from_days=-9, days=-1), ca.issue("c")
    trust = credentials(ca, ca.revoke(revoked))
    assert trust.objection(shown(revoked)) == "the certificate of a is revoked"
    assert trust.objection(shown(expired)) == "the certificate of b has expired"
    assert trust.objection(shown(good)) == ""


def test_the_usage_decides_and_the_brokers_own_key_is_nobodys(ca: Ca) -> None:
    trust = credentials(ca, None)
    uses = [ExtendedKeyUsageOID.SERVER_AUTH]
    assert "made for servers, not for clients" in trust.objection(shown(ca.issue("a", uses=uses)))
    uses.append(ExtendedKeyUsageOID.CLIENT_AUTH)
    assert trust.objection(shown(ca.issue("b", uses=uses))) == ""
    own = Files(ca.directory / "broker.pem", ca.directory / "broker.key")
    assert "is the broker's own" in trust.objection(shown(own))
    key = load_pem_private_key(own.key.read_bytes(), None)
    assert "is the broker's own" in trust.objection(shown(ca.issue("renewed", key=key)))


def test_a_clock_that_is_behind_cuts_off_nobody(ca: Ca) -> None:
    early = ca.issue("early", from_days=5)
    assert credentials(ca, None).objection(shown(early)) == ""


def test_a_serial_is_revoked_for_its_own_authority_alone(ca: Ca) -> None:
    revoked = ca.issue("a")
    trust = credentials(ca, ca.revoke(revoked))
    now = datetime.now(UTC)
    twin = Certificate(
        ("b",), shown(revoked).serial, "2.5.4.3=another", now, now + timedelta(days=1)
    )
    assert trust.objection(twin) == ""


def test_a_new_list_is_taken_and_one_that_is_damaged_is_not(
    ca: Ca, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = ca.issue("a"), ca.issue("b")
    crl = ca.revoke(one)
    trust = credentials(ca, crl)
    ca.revoke(one, two)
    trust.refresh()
    assert trust.objection(shown(two))
    crl.write_text("oops")
    trust.refresh()
    trust.refresh()
    assert trust.objection(shown(two))
    assert "contains no revocation list in PEM; the old one stays in use" in caplog.text
