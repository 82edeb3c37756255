"""Certificates of a small authority of the tests' own, as PEM files."""

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """Signs certificates; everything lies in one folder.

    Attributes:
        certificate: Path of the authority's own certificate.
    """

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        extension = x509.BasicConstraints(ca=True, path_length=None)
        self.certificate = folder / f"{name}.crt"
        self._sign(self.certificate, self._name, self._key, 1, extension)

    def issue(self, name: str, days: int = 1) -> tuple[Path, Path]:
        """Certificate and key of `name` at 127.0.0.1; `days` from now until it expires, negative for an expired one."""
        key = ec.generate_private_key(ec.SECP256R1())
        path, key_path = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        self._sign(path, subject, key, days, address)
        key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return path, key_path

    def _sign(
        self, path: Path, subject: x509.Name, key: ec.EllipticCurvePrivateKey, days: int, extension: x509.ExtensionType
    ) -> None:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=10))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(extension, critical=False)
        )
        path.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
