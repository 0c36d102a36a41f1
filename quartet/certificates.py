"""What is asked of a certificate: whose it is, by which key, and for how long.

What time alone makes wrong is told by remind(), and stops nothing: a clock may be wrong as well.
"""

import hashlib
import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TypeGuard

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from quartet.clock import was_set
from quartet.foreign import shown
from quartet.plural import counted
from quartet.renewal import SOON

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

_SERVERS = "not for servers: 'broker pki issue --host HOST' makes one for the broker"

NOT_FOR_SERVERS = f"made for clients, {_SERVERS}"
"""What is wrong with such a certificate of a broker."""

_CURVES = ("secp256r1", "secp384r1")
_LEAST_RSA_BITS = 2048

# Reading one takes 0.1 ms, and a peer shows the same with each of its calls.
_MOST_READ = 256

# Of one name, in a message: a host name that is longer is rare.
_MOST_IN_NAME = 80


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
    for_clients: bool = True
    """Whether who opens a connection may show it: one that names no usage is for all."""
    for_servers: bool = True
    """Whether who is connected to may."""
    common_name: str = ""
    """Its CN, which names nobody where there are alternative names; empty: it has none."""
    key: bytes = b""
    """A digest of its public key; empty where no library knows such keys."""

    @classmethod
    def of(cls, certificate: x509.Certificate) -> "Certificate":
        """What matters of it. ValueError where it is malformed."""
        try:
            with odd_serials():
                return cls(
                    _names(certificate),
                    certificate.serial_number,
                    canonical(certificate.issuer),
                    certificate.not_valid_before_utc,
                    certificate.not_valid_after_utc,
                    _is_for(certificate, ExtendedKeyUsageOID.CLIENT_AUTH),
                    _is_for(certificate, ExtendedKeyUsageOID.SERVER_AUTH),
                    _common_name(certificate),
                    _digest_of_key(certificate),
                )
        except MALFORMED as error:
            raise ValueError(f"a certificate is malformed: {shown(error)}") from error

    @classmethod
    @lru_cache(_MOST_READ)
    def from_pem(cls, pem: bytes) -> "Certificate":
        """The first in a PEM. ValueError where there is none."""
        return cls.of(x509.load_pem_x509_certificate(pem))

    def __str__(self) -> str:
        more = f" and {len(self.names) - 3} more" if len(self.names) > 3 else ""
        names = (shown(name, _MOST_IN_NAME) for name in self.names[:3])
        if not self.names and self.common_name:
            return f"CN {shown(self.common_name, _MOST_IN_NAME)}"
        return (", ".join(names) or f"serial {self.serial:x}") + more


@contextmanager
def odd_serials() -> Iterator[None]:
    """Read certificates with a serial number of 0 or below: old roots in a system's list have it.

    cryptography warns of each, which nobody here can change.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Parsed a (negative )?serial number")
        yield


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
    one, other = private.public_key(), certificate.public_key()
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    return one.public_bytes(*form) == other.public_bytes(*form)


def in_question(certificates: Iterable[Certificate], now: datetime) -> tuple[Certificate, ...]:
    """Those whose age counts: none, where one of them is valid for long.

    Of a list of authorities one is enough, and nobody knows which of them that is.
    """
    all_ = tuple(certificates)
    is_well = any(not invalid(each, now) and not expires_soon(each, now) for each in all_)
    return () if is_well else all_


def remind(what: str, certificates: Iterable[Certificate], now: datetime) -> None:
    """Log those that are not valid, or soon will not be, unless another one is valid for long."""
    for certificate in in_question(certificates, now):
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
    if not was_set(now):
        return (
            f"the clock says {now:%Y-%m-%d}: the clock is wrong, not the certificate; see"
            " 'timedatectl'"
        )
    return (
        f"valid from {certificate.not_before:%Y-%m-%d %H:%M} UTC on, but the clock says"
        f" {now:%Y-%m-%d %H:%M}: correct this clock, or that of the authority"
    )


def unfit_for_agents(certificate: Certificate) -> str:
    """Why no agent can show it; empty if one can."""
    if certificate.for_clients:
        return ""
    what = "servers" if certificate.for_servers else "something else"
    return f"made for {what}, not for clients: 'broker pki issue AGENT' makes one for an agent"


def unfit_for_brokers(certificate: Certificate) -> str:
    """Why no broker can show it; empty if one can."""
    if certificate.for_servers:
        return ""
    return NOT_FOR_SERVERS if certificate.for_clients else f"made for something else, {_SERVERS}"


def expires_soon(certificate: Certificate, now: datetime) -> bool:
    """Whether it is time to renew it."""
    return certificate.not_after - now < SOON


def expiry(certificate: Certificate, now: datetime) -> str:
    """Until when it is valid."""
    return (
        f"expires on {certificate.not_after:%Y-%m-%d},"
        f" in {counted((certificate.not_after - now).days, 'day')}"
    )


def canonical(name: x509.Name) -> str:
    """As RFC 5280 compares names: without regard to string type, case and spaces."""
    parts = ((part.oid.dotted_string, " ".join(str(part.value).split())) for part in name)
    return "/".join(f"{oid}={value.casefold()}" for oid, value in parts)


def _is_for(certificate: x509.Certificate, use: x509.ObjectIdentifier) -> bool:
    try:
        uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return use in uses  # as OpenSSL has it: a usage "any" is none of these


def _digest_of_key(certificate: x509.Certificate) -> bytes:
    try:
        public = certificate.public_key()
    except MALFORMED:
        return b""
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(public.public_bytes(*form)).digest()


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        common = _common_name(certificate)
        return (common,) if common else ()
    addresses = names.get_values_for_type(x509.IPAddress)
    return *names.get_values_for_type(x509.DNSName), *map(str, addresses)


def _common_name(certificate: x509.Certificate) -> str:
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return next((str(each.value) for each in common), "")
