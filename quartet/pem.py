"""Certificates, keys and revocation lists in PEM files: read, and checked before they are used.

Whatever cannot be used is a SettingsError that names the setting, the file and the remedy.
"""

import codecs
import itertools
import logging
import stat
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from quartet.certificates import (
    KEYS,
    MALFORMED,
    Certificate,
    canonical,
    fits,
    is_usable,
    odd_serials,
)
from quartet.errors import SettingsError
from quartet.foreign import shown

log = logging.getLogger(__name__)

SYSTEM = "system"
"""Of tls.ca: the authorities that this system trusts."""

# Of Debian, of Fedora, and of Alpine, where OpenSSL does not say it.
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)


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


def read_certificate(certificate: str) -> Certificate:
    """The file of tls.certificate alone, where its key is not at hand."""
    return Certificate.of(_read_chain(certificate)[1][0])


def read_identity(certificate: str, key: str) -> Identity:
    """The files of tls.certificate and tls.key, which must fit."""
    chain_pem, chain = _read_chain(certificate)
    own = Certificate.of(chain[0])
    key_pem = _read("tls.key", key)
    try:
        private = load_pem_private_key(key_pem, None)
    except TypeError as error:
        raise SettingsError(
            f"tls.key: {key}: is encrypted, but a service cannot enter a passphrase: remove it with"
            f" 'openssl pkey -in {key} -out plain.key'"
        ) from error
    except MALFORMED as error:
        raise SettingsError(f"tls.key: {key}: contains no private key in PEM") from error
    try:
        usable = is_usable(chain[0].public_key())
    except MALFORMED:
        usable = False
    if not usable:
        raise SettingsError(f"tls.certificate: {certificate}: its key must be {KEYS}")
    if not fits(private, chain[0]):
        raise SettingsError(f"tls.key: {key}: does not belong to the certificate {certificate}")
    return Identity(own, chain_pem, key_pem)


def read_authorities(setting: str, path: str) -> Authorities:
    """The file of tls.ca or tls.client_ca: one certificate, or several."""
    pem, certificates = _read_certificates(setting, path)
    authorities = [each for each in certificates if _is_authority(each)]
    if not authorities:
        raise SettingsError(
            f"{setting}: {path}: the certificate of {Certificate.of(certificates[0])} is not an"
            " authority's: use the file of the CA that signed the other side's certificate"
        )
    return Authorities(tuple(map(Certificate.of, authorities)), pem)


def read_trusted(ca: str) -> Authorities:
    """The file of an agent's tls.ca, or the system's own, of which nobody here is asked."""
    if ca == SYSTEM:
        return Authorities((), _read("tls.ca", trusted_file(ca)))
    return read_authorities("tls.ca", ca)


def trusted_file(ca: str) -> str:
    """Where those of tls.ca are."""
    if ca != SYSTEM:
        return ca
    import ssl  # noqa: PLC0415 - 4.5 MB, which an agent with a file of its own spares

    bundles = (ssl.get_default_verify_paths().cafile, *_BUNDLES)
    for path in bundles:
        if path and Path(path).is_file():
            return path
    raise SettingsError(
        "tls.ca: this system has no list of authorities: install ca-certificates, or name a file"
    )


def read_revoked(path: str, authorities_pem: bytes) -> Revoked:
    """The file of tls.crl: revocation lists, each signed by one of the authorities."""
    authorities = x509.load_pem_x509_certificates(authorities_pem)
    lists = _read_lists(path)
    known = [crl for crl in lists if any(_signed(crl, authority) for authority in authorities)]
    if not known:
        raise SettingsError(
            f"tls.crl: {path}: is not signed by an authority in tls.client_ca, so it cannot revoke"
            " any certificate that the broker accepts"
        )
    if len(known) < len(lists):
        log.warning("tls.crl: %s: has a list by an authority that is not in tls.client_ca", path)
    return frozenset((canonical(crl.issuer), entry.serial_number) for crl in known for entry in crl)


def is_readable_by_all(path: str) -> bool:
    """Whether anyone on this machine may read it."""
    return bool(Path(path).stat().st_mode & stat.S_IROTH)


def _read_chain(path: str) -> tuple[bytes, list[x509.Certificate]]:
    """A certificate, and those that signed it; it names somebody."""
    pem, chain = _read_certificates("tls.certificate", path)
    if misplaced := _misplaced(chain):
        raise SettingsError(
            f"tls.certificate: {path}: its certificates are in the wrong order ({misplaced}): the"
            " device's own comes first, then the one that signed it, and so on"
        )
    if not Certificate.of(chain[0]).names:
        common = Certificate.of(chain[0]).common_name
        beside = f" (its CN {shown(common)} does not count beside names of other kinds)"
        raise SettingsError(
            f"tls.certificate: {path}: contains no name: it needs one{beside if common else ''}"
        )
    return pem, chain


def _read_certificates(setting: str, path: str) -> tuple[bytes, list[x509.Certificate]]:
    pem = _read(setting, path)
    if pem.startswith(codecs.BOM_UTF8):
        raise SettingsError(f"{setting}: {path}: starts with a byte order mark: save it without")
    try:
        with odd_serials():
            certificates = x509.load_pem_x509_certificates(pem)
        for certificate in certificates:
            Certificate.of(certificate)
    except ValueError as error:
        raise SettingsError(
            f"{setting}: {path}: contains no certificate in PEM: {shown(error)}"
        ) from error
    if pem.count(b"-----BEGIN CERTIFICATE-----") != len(certificates):
        raise SettingsError(f"{setting}: {path}: its last certificate is cut off")
    return pem, certificates


def _read_lists(path: str) -> list[x509.CertificateRevocationList]:
    pem = _read("tls.crl", path)
    end = b"-----END X509 CRL-----"
    try:
        lists = [x509.load_pem_x509_crl(part + end) for part in pem.split(end)[:-1]]
    except MALFORMED as error:
        raise SettingsError(f"tls.crl: {path}: is malformed: {shown(error)}") from error
    if not lists:
        raise SettingsError(f"tls.crl: {path}: contains no revocation list in PEM")
    if pem.count(b"-----BEGIN X509 CRL-----") != len(lists):
        raise SettingsError(f"tls.crl: {path}: its last list is cut off")
    return lists


def _read(setting: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise SettingsError(f"{setting}: {path}: {error.strerror}") from error
    except ValueError as error:  # a path with a zero in it
        raise SettingsError(f"{setting}: {path!r}: {shown(error)}") from error


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
