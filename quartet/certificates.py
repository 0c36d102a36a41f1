"""Certificates, keys and revocation lists in PEM files: read, and checked before they are used.

Whatever cannot be used is a SettingsError that names the setting, the file and the remedy.
What time alone makes wrong is told by remind(), and stops nothing: a clock may be wrong as well.
"""

import itertools
import logging
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from quartet.errors import SettingsError

log = logging.getLogger(__name__)

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
    issuer: bytes
    not_before: datetime
    not_after: datetime

    @classmethod
    def of(cls, certificate: x509.Certificate) -> "Certificate":
        """What matters of it. ValueError where it is malformed."""
        return cls(
            _names(certificate),
            certificate.serial_number,
            certificate.issuer.public_bytes(),
            certificate.not_valid_before_utc,
            certificate.not_valid_after_utc,
        )

    @classmethod
    def from_pem(cls, pem: bytes) -> "Certificate":
        """The first in a PEM. ValueError where there is none."""
        return cls.of(x509.load_pem_x509_certificate(pem))

    def __str__(self) -> str:
        return ", ".join(self.names) or f"serial {self.serial:x}"


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


Revoked = frozenset[tuple[bytes, int]]
"""Issuer and serial of each certificate that must not be trusted any more."""


def read_identity(certificate: str, key: str) -> Identity:
    """The files of tls.certificate and tls.key, which must fit."""
    chain_pem, chain = _read_certificates("tls.certificate", certificate)
    if misplaced := _misplaced(chain):
        raise SettingsError(
            f"tls.certificate: {certificate}: its certificates are in the wrong order"
            f" ({misplaced}): the device's own comes first, then the one that signed it, and so on"
        )
    key_pem = _read("tls.key", key)
    try:
        private = load_pem_private_key(key_pem, None)
    except TypeError as error:
        raise SettingsError(
            f"tls.key: {key}: is encrypted, and a service cannot type a passphrase:"
            f" 'openssl pkey -in {key} -out plain.key' takes it off"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SettingsError(f"tls.key: {key}: holds no private key in PEM") from error
    if _spki(private.public_key()) != _spki(chain[0].public_key()):
        raise SettingsError(
            f"tls.key: {key}: does not fit the certificate {certificate}: they are not of one pair"
        )
    return Identity(Certificate.of(chain[0]), chain_pem, key_pem)


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
    revoked: set[tuple[bytes, int]] = set()
    for crl in _read_lists(path):
        if not any(_signed(crl, authority) for authority in authorities):
            raise SettingsError(
                f"tls.crl: {path}: is not signed by an authority in tls.client_ca: it says nothing"
                " of the certificates that are accepted"
            )
        revoked |= {(crl.issuer.public_bytes(), entry.serial_number) for entry in crl}
    return frozenset(revoked)


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


def _read_certificates(setting: str, path: str) -> tuple[bytes, list[x509.Certificate]]:
    pem = _read(setting, path)
    try:
        certificates = x509.load_pem_x509_certificates(pem)
        for certificate in certificates:
            Certificate.of(certificate)
    except ValueError as error:
        raise SettingsError(f"{setting}: {path}: holds no certificate in PEM: {error}") from error
    return pem, certificates


def _read_lists(path: str) -> list[x509.CertificateRevocationList]:
    pem = _read("tls.crl", path)
    end = b"-----END X509 CRL-----"
    try:
        lists = [x509.load_pem_x509_crl(part + end) for part in pem.split(end)[:-1]]
    except ValueError as error:
        raise SettingsError(f"tls.crl: {path}: is malformed: {error}") from error
    if not lists:
        raise SettingsError(f"tls.crl: {path}: holds no revocation list in PEM")
    return lists


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
        except (ValueError, TypeError, InvalidSignature):
            return f"{Certificate.of(signer)} did not sign {Certificate.of(signed)}"
    return ""


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _signed(crl: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    try:
        return crl.issuer == authority.subject and crl.is_signature_valid(authority.public_key())  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False


def _spki(public: object) -> bytes:
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined, no-any-return]
