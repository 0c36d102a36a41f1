"""Certificates, keys and revocation lists in PEM files: read, and checked before they are used.

Whatever cannot be used is a SettingsError that names the setting, the file and the remedy.
What time alone makes wrong is told by remind(), and stops nothing: a clock may be wrong as well.
"""

import codecs
import itertools
import logging
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeGuard

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from quartet.errors import SettingsError

log = logging.getLogger(__name__)

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

MALFORMED = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What cryptography raises at a certificate or a request that it cannot read."""

KEYS = "P-256, P-384, or RSA of 2048 bits at least"
"""The keys that gRPC's TLS verifies, and that are trusted."""

_CURVES = ("secp256r1", "secp384r1")
_LEAST_RSA_BITS = 2048

# Enough to renew by hand, over a holiday.
_SOON = timedelta(days=30)

# Before this was written. A Pi has no clock of its own: one that says so is not set.
_CLOCK_NOT_SET = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Certificate:
    """Of an X.509 certificate, what is asked of it here."""

    names: tuple[str, ...]
    """The subject alternative names that are DNS names or addresses; without any, the CN."""
    serial: int
    issuer: str
    """In a form that is the same for all ways to write it."""
    not_before: datetime
    not_after: datetime

    @classmethod
    def of(cls, certificate: x509.Certificate) -> "Certificate":
        """What matters of it. ValueError where it is malformed."""
        try:
            return cls(
                _names(certificate),
                certificate.serial_number,
                canonical(certificate.issuer),
                certificate.not_valid_before_utc,
                certificate.not_valid_after_utc,
            )
        except MALFORMED as error:
            raise ValueError(f"a certificate is malformed: {error}") from error

    @classmethod
    def from_pem(cls, pem: bytes) -> "Certificate":
        """The first in a PEM. ValueError where there is none."""
        return cls.of(x509.load_pem_x509_certificate(pem))

    def __str__(self) -> str:
        more = f" and {len(self.names) - 3} more" if len(self.names) > 3 else ""
        return (", ".join(self.names[:3]) or f"serial {self.serial:x}") + more


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate with its chain and its key, in PEM."""

    certificate: Certificate
    chain_pem: bytes
    key_pem: bytes


@dataclass(frozen=True, slots=True)
class Authorities:
    """Those whose signatures are trusted."""

    certificates: tuple[Certificate, ...]
    pem: bytes


Revoked = frozenset[tuple[str, int]]
"""Issuer and serial of each certificate that must not be trusted any more."""


def read_identity(certificate: str, key: str) -> Identity:
    """The files of tls.certificate and tls.key, which must fit."""
    chain_pem, chain = _read_certificates("tls.certificate", certificate)
    if misplaced := _misplaced(chain):
        raise SettingsError(
            f"tls.certificate: {certificate}: its certificates are in the wrong order"
            f" ({misplaced}): the device's own comes first, then the one that signed it, and so on"
        )
    own = Certificate.of(chain[0])
    if not own.names:
        raise SettingsError(f"tls.certificate: {certificate}: names nobody: it needs a name")
    key_pem = _read("tls.key", key)
    try:
        private = load_pem_private_key(key_pem, None)
    except TypeError as error:
        raise SettingsError(
            f"tls.key: {key}: is encrypted, and a service cannot type a passphrase:"
            f" 'openssl pkey -in {key} -out plain.key' takes it off"
        ) from error
    except MALFORMED as error:
        raise SettingsError(f"tls.key: {key}: holds no private key in PEM") from error
    try:
        public = chain[0].public_key()
    except MALFORMED:
        public = None
    if not is_usable(public):
        raise SettingsError(f"tls.certificate: {certificate}: its key must be {KEYS}")
    if _spki(private.public_key()) != _spki(public):
        raise SettingsError(
            f"tls.key: {key}: does not fit the certificate {certificate}: they are not of one pair"
        )
    return Identity(own, chain_pem, key_pem)


def read_authorities(setting: str, path: str) -> Authorities:
    """The file of tls.ca or tls.client_ca: one certificate, or several."""
    pem, certificates = _read_certificates(setting, path)
    for certificate in certificates:
        if not _is_authority(certificate):
            raise SettingsError(
                f"{setting}: {path}: the certificate of {Certificate.of(certificate)} is not that"
                " of an authority: name the file of the CA that signed the other side's"
            )
    return Authorities(tuple(map(Certificate.of, certificates)), pem)


def read_revoked(path: str, authorities_pem: bytes) -> Revoked:
    """The file of tls.crl: revocation lists, each signed by one of the authorities."""
    authorities = x509.load_pem_x509_certificates(authorities_pem)
    lists = _read_lists(path)
    known = [crl for crl in lists if any(_signed(crl, authority) for authority in authorities)]
    if not known:
        raise SettingsError(
            f"tls.crl: {path}: is not signed by an authority in tls.client_ca: it says nothing of"
            " the certificates that are accepted"
        )
    if len(known) < len(lists):
        log.warning("tls.crl: %s: a list of an authority that is not in tls.client_ca", path)
    return frozenset((canonical(crl.issuer), entry.serial_number) for crl in known for entry in crl)


def is_usable(public: object) -> TypeGuard[PublicKey]:
    """Whether it is one of KEYS."""
    match public:
        case ec.EllipticCurvePublicKey():
            return public.curve.name in _CURVES
        case rsa.RSAPublicKey():
            return public.key_size >= _LEAST_RSA_BITS
    return False


def fits(private: PrivateKeyTypes, certificate: x509.Certificate) -> bool:
    """Whether a key and a certificate are of one pair."""
    return _spki(private.public_key()) == _spki(certificate.public_key())


def is_readable_by_all(path: str) -> bool:
    """Whether anyone on this machine may read it."""
    return bool(Path(path).stat().st_mode & stat.S_IROTH)


def remind(what: str, certificates: Iterable[Certificate], now: datetime) -> None:
    """Log those that are not valid, or soon will not be."""
    for certificate in certificates:
        if problem := invalid(certificate, now):
            log.error("%s (%s): %s", what, certificate, problem)
        elif expires_soon(certificate, now):
            log.warning("%s (%s): %s", what, certificate, expiry(certificate, now))


def invalid(certificate: Certificate, now: datetime) -> str:
    """Why it is not valid now; empty if it is."""
    if now > certificate.not_after:
        return f"expired on {certificate.not_after:%Y-%m-%d}: renew it"
    if now >= certificate.not_before:
        return ""
    if now < _CLOCK_NOT_SET:
        return (
            f"the clock says {now:%Y-%m-%d}: the clock is wrong, not the certificate; see"
            " 'timedatectl'"
        )
    return (
        f"valid from {certificate.not_before:%Y-%m-%d %H:%M} UTC on, and the clock says"
        f" {now:%Y-%m-%d %H:%M}: set the clock that is wrong, this one or that of whoever issued it"
    )


def expires_soon(certificate: Certificate, now: datetime) -> bool:
    """Whether it is time to renew it."""
    return certificate.not_after - now < _SOON


def expiry(certificate: Certificate, now: datetime) -> str:
    """Until when it is valid."""
    return (
        f"expires on {certificate.not_after:%Y-%m-%d}, in {(certificate.not_after - now).days} days"
    )


def _read(setting: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise SettingsError(f"{setting}: {path}: {error.strerror}") from error
    except ValueError as error:  # a path with a zero in it
        raise SettingsError(f"{setting}: {path!r}: {error}") from error


def _read_certificates(setting: str, path: str) -> tuple[bytes, list[x509.Certificate]]:
    pem = _read(setting, path)
    if pem.startswith(codecs.BOM_UTF8):
        raise SettingsError(f"{setting}: {path}: begins with a mark: save it without a BOM")
    try:
        certificates = x509.load_pem_x509_certificates(pem)
        for certificate in certificates:
            Certificate.of(certificate)
    except ValueError as error:
        raise SettingsError(f"{setting}: {path}: holds no certificate in PEM: {error}") from error
    if pem.count(b"-----BEGIN CERTIFICATE-----") != len(certificates):
        raise SettingsError(f"{setting}: {path}: its last certificate is cut off")
    return pem, certificates


def _read_lists(path: str) -> list[x509.CertificateRevocationList]:
    pem = _read("tls.crl", path)
    end = b"-----END X509 CRL-----"
    try:
        lists = [x509.load_pem_x509_crl(part + end) for part in pem.split(end)[:-1]]
    except MALFORMED as error:
        raise SettingsError(f"tls.crl: {path}: is malformed: {error}") from error
    if not lists:
        raise SettingsError(f"tls.crl: {path}: holds no revocation list in PEM")
    if pem.count(b"-----BEGIN X509 CRL-----") != len(lists):
        raise SettingsError(f"tls.crl: {path}: its last list is cut off")
    return lists


def canonical(name: x509.Name) -> str:
    """As RFC 5280 compares names: without regard to string type, case and spaces."""
    parts = ((part.oid.dotted_string, " ".join(str(part.value).split())) for part in name)
    return "/".join(f"{oid}={value.casefold()}" for oid, value in parts)


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return tuple(str(each.value) for each in common[:1])
    addresses = names.get_values_for_type(x509.IPAddress)
    return *names.get_values_for_type(x509.DNSName), *map(str, addresses)


def _misplaced(chain: list[x509.Certificate]) -> str:
    """Which certificate of a chain did not sign the one before; empty if each did."""
    for signed, signer in itertools.pairwise(chain):
        try:
            signed.verify_directly_issued_by(signer)
        except (*MALFORMED, TypeError, InvalidSignature):
            return f"{Certificate.of(signer)} did not sign {Certificate.of(signed)}"
    return ""


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (*MALFORMED, x509.ExtensionNotFound):
        return False


def _signed(crl: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    try:
        public = authority.public_key()
        return (
            canonical(crl.issuer) == canonical(authority.subject)
            and is_usable(public)
            and crl.is_signature_valid(public)
        )
    except MALFORMED:
        return False


def _spki(public: object) -> bytes:
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined, no-any-return]
