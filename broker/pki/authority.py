"""A certificate authority in a directory, whose files are all that there is of it.

ca.pem            to each agent and to the broker
ca.key            the authority itself: it stays here
crl.pem           what is revoked: to the broker
broker.pem/.key   the broker's certificate and key
agents/NAME.pem   and NAME.key, unless the device made it itself
issued/SERIAL.pem each certificate that was ever signed
"""

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from broker.errors import PkiError
from broker.pki import forms
from quartet.certificates import KEYS, MALFORMED, Certificate, PublicKey, fits, is_usable
from quartet.clock import Clock, utc
from quartet.foreign import shown

_SECRET, _PUBLIC = 0o600, 0o644


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate that the authority signed, and what has become of it."""

    certificate: Certificate
    state: str
    """valid, expired or revoked."""


class Authority:
    """Opened where it is; PkiError where there is none."""

    def __init__(self, directory: Path, clock: Clock = time) -> None:
        self._directory = directory
        self._clock = clock
        certificate = _load(directory / "ca.pem")
        try:
            key = load_pem_private_key(_read(directory / "ca.key"), None)
        except (ValueError, TypeError) as error:
            raise PkiError(f"{directory / 'ca.key'}: is damaged: {shown(error)}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not fits(key, certificate):
            raise PkiError(
                f"{directory / 'ca.key'}: does not belong to ca.pem: bring the right one back"
            )
        self._issuer = forms.Issuer(certificate, key)

    @classmethod
    def init(cls, directory: Path, hosts: Sequence[str], clock: Clock = time) -> "Authority":
        """Make a new one in a directory that has none, and the broker's certificate."""
        names = [*map(forms.host, hosts)]
        if (directory / "ca.pem").exists():
            raise PkiError(
                f"{directory} already has an authority, and all devices trust it: keep it"
            )
        if (directory / "ca.key").exists():
            raise PkiError(
                f"{directory / 'ca.key'} has no ca.pem: bring that back, or remove the key if"
                " nothing was ever signed with it"
            )
        key = forms.make_key()
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name in ("agents", "issued"):
                (directory / name).mkdir(exist_ok=True)
        except OSError as error:
            raise PkiError(f"{directory}: {error.strerror}") from error
        _write(directory / "ca.key", _key_pem(key), _SECRET)
        _write(directory / "ca.pem", _pem(forms.make_authority(key, _now(clock))), _PUBLIC)
        authority = cls(directory, clock)
        authority._write_list([])
        authority._issue_broker(names)
        return authority

    def issue_agent(self, agent_id: str) -> Path:
        """Sign a new key for an agent; its certificate, with the key beside it."""
        key = forms.make_key()
        certificate = forms.sign_agent(agent_id, key.public_key(), self._issuer, self._now())
        return self._keep(certificate, self._directory / "agents" / f"{agent_id}.pem", key)

    def issue_broker(self, hosts: Sequence[str]) -> Path:
        """Sign a new key for the broker; its certificate, with the key beside it."""
        return self._issue_broker([*map(forms.host, hosts)])

    def renew_agent(self, agent_id: str) -> Path:
        """Sign the key of an agent's latest certificate once more; its certificate.

        PkiError for a key that is trusted no more.
        """
        path = self._directory / "agents" / f"{agent_id}.pem"
        former = self._renewable(path)
        certificate = forms.sign_agent(agent_id, _key_of(former), self._issuer, self._now())
        return self._keep(certificate, path)

    def renew_broker(self) -> Path:
        """Sign the broker's key once more, for the same names; its certificate."""
        path = self._directory / "broker.pem"
        former = self._renewable(path)
        names = former.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        certificate = forms.sign_broker(list(names), _key_of(former), self._issuer, self._now())
        return self._keep(certificate, path)

    def sign(self, request: Path) -> Path:
        """Sign the key of a device that keeps it; of its request only the name is taken."""
        try:
            csr = x509.load_pem_x509_csr(request.read_bytes())
            valid, names, public = csr.is_signature_valid, _requested_names(csr), csr.public_key()
        except OSError as error:
            raise PkiError(f"{request}: {error.strerror}") from error
        except MALFORMED as error:
            raise PkiError(
                f"{request}: is not a readable certificate request: {shown(error)}"
            ) from error
        if not valid:
            raise PkiError(f"{request}: its signature is wrong: make the request again")
        if len(names) != 1:
            asks = shown(", ".join(names)) or "no name"
            raise PkiError(f"{request}: asks for {asks}: it must ask for one, its agent id")
        if not is_usable(public):
            raise PkiError(f"{request}: its key must be {KEYS}")
        (agent_id,) = names
        certificate = forms.sign_agent(agent_id, public, self._issuer, self._now())
        return self._keep(certificate, self._directory / "agents" / f"{agent_id}.pem")

    def issued(self) -> list[Issued]:
        """All that it signed, the oldest first."""
        revoked = {each.serial_number for each in self._revoked()}
        now = self._now()

        def state(certificate: Certificate) -> str:
            if certificate.serial in revoked:
                return "revoked"
            return "expired" if certificate.not_after < now else "valid"

        certificates = [Certificate.of(each) for each in self._signed()]
        certificates.sort(key=lambda each: each.not_before)
        return [Issued(each, state(each)) for each in certificates]

    def revoke(self, which: str) -> list[Certificate]:
        """Revoke the certificate with this serial, or all of this name; those that were not yet."""
        with self._alone():
            return self._revoke(which)

    def _revoke(self, which: str) -> list[Certificate]:
        revoked = self._revoked()
        known = {each.serial_number for each in revoked}
        found = [each for each in self._signed() if which in _handles(each)]
        if not found:
            raise PkiError(f"no certificate of {which!r}; 'broker pki list' shows them")
        new = [each for each in found if each.serial_number not in known]
        if new:
            now = self._now()
            self._write_list([*revoked, *(forms.revoked(each, now) for each in new)])
        return [Certificate.of(each) for each in new]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """The list is read and written by one at a time, while entered."""
        descriptor = os.open(self._directory, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _issue_broker(self, names: Sequence[x509.GeneralName]) -> Path:
        key = forms.make_key()
        certificate = forms.sign_broker(names, key.public_key(), self._issuer, self._now())
        return self._keep(certificate, self._directory / "broker.pem", key)

    def _renewable(self, path: Path) -> x509.Certificate:
        former = _load(path)
        if former.serial_number in {each.serial_number for each in self._revoked()}:
            raise PkiError(f"{path}: is revoked: 'broker pki issue' makes a key that is trusted")
        return former

    def _keep(
        self,
        certificate: x509.Certificate,
        path: Path,
        key: ec.EllipticCurvePrivateKey | None = None,
    ) -> Path:
        pem = _pem(certificate)
        _write(self._directory / "issued" / f"{certificate.serial_number:x}.pem", pem, _PUBLIC)
        if key:
            _write(path.with_suffix(".key"), _key_pem(key), _SECRET)
        _write(path, pem, _PUBLIC)
        return path

    def _now(self) -> datetime:
        return _now(self._clock)

    def _signed(self) -> list[x509.Certificate]:
        return [_load(path) for path in (self._directory / "issued").glob("*.pem")]

    def _revoked(self) -> list[x509.RevokedCertificate]:
        path = self._directory / "crl.pem"
        try:
            return list(x509.load_pem_x509_crl(_read(path)))
        except ValueError as error:
            raise PkiError(
                f"{path}: is damaged: restore it from a backup: {shown(error)}"
            ) from error

    def _write_list(self, revoked: Sequence[x509.RevokedCertificate]) -> None:
        crl = forms.make_list(revoked, self._issuer, self._now())
        _write(self._directory / "crl.pem", crl.public_bytes(Encoding.PEM), _PUBLIC)


def _now(clock: Clock) -> datetime:
    return utc(clock).replace(microsecond=0)


def _handles(certificate: x509.Certificate) -> tuple[str, ...]:
    """By what a person may call it."""
    return f"{certificate.serial_number:x}", *Certificate.of(certificate).names


def _requested_names(csr: x509.CertificateSigningRequest) -> list[str]:
    try:
        names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        common = csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return [str(each.value) for each in common]
    return names.get_values_for_type(x509.DNSName)


def _key_of(certificate: x509.Certificate) -> PublicKey:
    key = certificate.public_key()
    if not is_usable(key):
        raise PkiError(f"the certificate of {Certificate.of(certificate)}: its key must be {KEYS}")
    return key


def _load(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(_read(path))
    except ValueError as error:
        raise PkiError(f"{path}: is damaged: {shown(error)}") from error


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise PkiError(
            f"{path} is missing; 'broker pki init' makes a new authority, and 'broker pki issue' a"
            " certificate"
        ) from error
    except OSError as error:
        raise PkiError(f"{path}: {error.strerror}") from error


def _write(path: Path, data: bytes, mode: int) -> None:
    """All of it or nothing, and never for a moment readable by more than `mode` says."""
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except OSError:
            Path(temporary).unlink()
            raise
    except OSError as error:
        raise PkiError(f"{path}: {error.strerror}") from error
