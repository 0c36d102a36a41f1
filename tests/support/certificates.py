"""Authorities and certificates of every kind, as files."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtensionOID, NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

UNREADABLE = ("an X.400 address",)
"""Names that no library here reads."""

LOOPBACK = ("localhost", "127.0.0.1")


@dataclass(frozen=True)
class Files:
    """A certificate (with its chain) and its key."""

    certificate: Path
    key: Path


class Ca:
    """An authority, or one below another."""

    def __init__(
        self, directory: Path, name: str = "ca", signer: "Ca | None" = None, *, days: int = 3650
    ) -> None:
        self.directory = directory
        self.name = name
        self.signer = signer
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = _build(
            name, self._key, signer, [], is_ca=True, from_days=min(-400, days - 400), days=days
        )
        self.path = directory / f"{name}.pem"
        self.path.write_bytes(self.certificate.public_bytes(Encoding.PEM))

    def issue(
        self,
        name: str,
        names: Sequence[str] | None = None,
        *,
        from_days: float = -1,
        days: float = 90,
        key: Key | None = None,
        subject: str | None = None,
        uses: Sequence[x509.ObjectIdentifier] = (),
    ) -> Files:
        """For these names (by default its own), valid from and until so many days from now.

        `subject` is its CN, where that is not to be its name; without `uses` it is for all.
        """
        key = key or ec.generate_private_key(ec.SECP256R1())
        sans = [name] if names is None else names
        common = name if subject is None else subject
        certificate = _build(
            common, key, self, sans, is_ca=False, from_days=from_days, days=days, uses=uses
        )
        pem = certificate.public_bytes(Encoding.PEM)
        if self.signer:
            pem += self.certificate.public_bytes(Encoding.PEM)
        files = Files(self.directory / f"{name}.pem", self.directory / f"{name}.key")
        files.certificate.write_bytes(pem)
        files.key.touch(0o600)
        files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return files

    def broker(self) -> Files:
        return self.issue("broker", LOOPBACK)

    def revoke(self, *revoked: Files) -> Path:
        """A revocation list with these."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(datetime.now(UTC))
            .next_update(datetime.now(UTC) + timedelta(days=30))
        )
        for files in revoked:
            certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(certificate.serial_number)
                .revocation_date(datetime.now(UTC))
                .build()
            )
        path = self.directory / f"{self.name}.crl"
        path.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))
        return path


def _build(
    name: str,
    key: Key,
    signer: Ca | None,
    names: Sequence[str],
    *,
    is_ca: bool,
    from_days: float,
    days: float,
    uses: Sequence[x509.ObjectIdentifier] = (),
) -> x509.Certificate:
    now = datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer.certificate.subject if signer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=from_days))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(is_ca, None), critical=True)
    )
    if uses:
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    if names == UNREADABLE:
        raw = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b"\x30\x02\xa3\x00")
        builder = builder.add_extension(raw, critical=False)
    elif names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName(list(map(_general, names))), critical=False
        )
    return builder.sign(signer._key if signer else key, hashes.SHA256())  # noqa: SLF001


def _general(name: str) -> x509.GeneralName:
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
