"""What the authority signs: whose name, for which use, for how long. Source: RFC 5280.

`now` is in whole seconds, as a certificate holds it.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from broker.errors import PkiError
from quartet.certificates import PublicKey
from wire.metadata import AGENT_ID

# Longer than a plant's machines are kept without a word; to renew it, every device is visited.
_AUTHORITY_DAYS = 20 * 365

# One holiday season is seen in any case; agents and broker warn 30 days ahead.
_LEAF_DAYS = 2 * 365

# A Pi without a real-time clock starts at the time of its last shutdown.
_BACKDATED = timedelta(days=1)

# What an agent can be told to reach. gRPC knows a wildcard only above two labels.
_HOST = re.compile(
    r"(?=.{1,253}\Z)(\*\.(?=[^.]+\.))?[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_-]+)*"
)


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who signs."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def make_key() -> ec.EllipticCurvePrivateKey:
    """A key on P-256, which every TLS library speaks, and a Pi fast."""
    return ec.generate_private_key(ec.SECP256R1())


def make_authority(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    """The authority's own certificate. It may sign no other authorities."""
    name = _name("Quartet plant CA")
    return (
        _begin(name, key.public_key(), name, now, _AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def sign_agent(
    agent_id: str,
    public: PublicKey,
    issuer: Issuer,
    now: datetime,
) -> x509.Certificate:
    """For an agent, which only asks. PkiError where the name is no agent id."""
    if not AGENT_ID.fullmatch(agent_id):
        raise PkiError(f"{agent_id!r} is not an agent id: 1 to 64 of A-Z a-z 0-9 . _ -")
    names = [x509.DNSName(agent_id)]
    return _sign(agent_id, names, [ExtendedKeyUsageOID.CLIENT_AUTH], public, issuer, now=now)


def sign_broker(
    names: Sequence[x509.GeneralName],
    public: PublicKey,
    issuer: Issuer,
    now: datetime,
) -> x509.Certificate:
    """For a broker at these host names and addresses; it may ask itself how it is."""
    uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    return _sign("Quartet broker", names, uses, public, issuer, now=now)


def make_list(
    revoked: Sequence[x509.RevokedCertificate],
    issuer: Issuer,
    now: datetime,
) -> x509.CertificateRevocationList:
    """The revocation list, which is good until there is another."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(now)
        .next_update(issuer.certificate.not_valid_after_utc)
    )
    for each in revoked:
        builder = builder.add_revoked_certificate(each)
    return builder.sign(issuer.key, hashes.SHA256())


def revoked(certificate: x509.Certificate, now: datetime) -> x509.RevokedCertificate:
    """Its entry in the list."""
    return (
        x509.RevokedCertificateBuilder()
        .serial_number(certificate.serial_number)
        .revocation_date(now)
        .build()
    )


def _sign(
    common_name: str,
    names: Sequence[x509.GeneralName],
    uses: Sequence[x509.ObjectIdentifier],
    public: PublicKey,
    issuer: Issuer,
    *,
    now: datetime,
) -> x509.Certificate:
    return (
        _begin(_name(common_name), public, issuer.certificate.subject, now, _LEAF_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()),
            critical=False,
        )
        .sign(issuer.key, hashes.SHA256())
    )


def _begin(
    subject: x509.Name,
    public: PublicKey,
    issuer: x509.Name,
    now: datetime,
    days: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def host(text: str) -> x509.GeneralName:
    """A host name or an address. PkiError where it is neither."""
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        pass
    try:
        name = text if text.isascii() else text.encode("idna").decode()
    except UnicodeError:
        name = ""
    if not _HOST.fullmatch(name := name.removesuffix(".")):
        raise PkiError(f"{text!r} is neither a host name nor an address")
    return x509.DNSName(name)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
