"""A certificate authority for tests."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Authority:
    """A certificate authority that lives as long as one test run."""

    folder: Path
    title: str = "Test Authority"

    def __post_init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.title)])
        self.certificate = self._sign(self.name, self.key.public_key(), (), authority=True, days=30)
        self.file = self._write("ca.pem", self.certificate.public_bytes(serialization.Encoding.PEM))

    def server(self, *names: str, days: int = 30, self_signed: bool = False) -> ssl.SSLContext:
        """A server context whose certificate holds these names."""
        _, pem, key = self._made(names, days=days, self_signed=self_signed)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(pem, key)
        return context

    def files(self, *names: str) -> tuple[str, str, str]:
        """For a program that wants files: of this authority, of a certificate with these names, of its key."""
        return self._made(names, days=30, self_signed=False)

    def _made(self, names: Sequence[str], *, days: int, self_signed: bool) -> tuple[str, str, str]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")])
        certificate = self._sign(subject, key.public_key(), names, days=days, by=key if self_signed else None)
        number, plain = certificate.serial_number, serialization.NoEncryption()
        pem = self._write(f"{number}.pem", certificate.public_bytes(serialization.Encoding.PEM))
        secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        return str(self.file), str(pem), str(self._write(f"{number}.key", secret))

    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.file)

    def _write(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(data)
        path.chmod(0o600)
        return path

    def _sign(
        self,
        subject: x509.Name,
        public: ec.EllipticCurvePublicKey,
        names: Sequence[str],
        *,
        days: int,
        authority: bool = False,
        by: ec.EllipticCurvePrivateKey | None = None,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if by else self.name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=60))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), False)
        return builder.sign(by or self.key, hashes.SHA256())


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
