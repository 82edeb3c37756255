"""Keys and certificates of a federation, made once by the operator of the coordinator.

::

    FOLDER/ca.crt, ca.key              the authority; ca.key stays offline
    FOLDER/server.crt, server.key      the coordinator's certificate, for SuperLink and proxy alike
    FOLDER/nodes/REGION.key            a region's key: for that region only
    FOLDER/nodes/REGION.pub            registers the region with the coordinator
    FOLDER/nginx.conf                  the proxy before the SuperLink; see `federation.flower.nginx_config`

Every region also gets `ca.crt`. Existing files are never overwritten: a region that is added later gets a key of
its own.
"""

import datetime
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from federation.errors import SetupError
from federation.protocol.region_name import require_region_name

AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 825
"""Longest validity that common TLS clients accept."""

LOOPBACK = ("localhost", "127.0.0.1")
"""Names in every server certificate: the proxy and the ServerApp reach the SuperLink there."""


def make_authority(folder: Path) -> None:
    """Make `ca.crt` and `ca.key`.

    Raises:
        SetupError: one of them exists already.
    """
    _require_absent(folder, "ca.crt", "ca.key")
    key = ec.generate_private_key(ec.SECP384R1())
    name = _name("driftline federation")
    certificate = (
        _certificate(name, name, key.public_key(), AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA384())
    )
    _write_pair(folder, "ca", certificate, key)


def make_server_certificate(folder: Path, names: Sequence[str]) -> None:
    """Make `server.crt` and `server.key`, signed by the authority in `folder`.

    Args:
        folder: Holds `ca.crt` and `ca.key`.
        names: Host names and IP addresses by which nodes reach the coordinator; loopback is always added.

    Raises:
        SetupError: there is no authority, or the certificate exists already.
    """
    authority, authority_key = _authority(folder)
    _require_absent(folder, "server.crt", "server.key")
    key = ec.generate_private_key(ec.SECP384R1())
    alternatives = x509.SubjectAlternativeName([_general_name(n) for n in dict.fromkeys([*names, *LOOPBACK])])
    certificate = (
        _certificate(_name(names[0] if names else LOOPBACK[0]), authority.subject, key.public_key(), CERTIFICATE_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(alternatives, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA384())
    )
    _write_pair(folder, "server", certificate, key)


def make_node_key(folder: Path, region: str) -> None:
    """Make `nodes/REGION.key` and `nodes/REGION.pub`, in the OpenSSH format that Flower reads.

    Raises:
        SetupError: the region has a key already, or its name is invalid.
    """
    require_region_name(region)
    nodes = folder / "nodes"
    _require_absent(nodes, f"{region}.key", f"{region}.pub")
    key = ec.generate_private_key(ec.SECP384R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    _write(nodes / f"{region}.key", private)
    _write(nodes / f"{region}.pub", public + b"\n")


def node_keys(folder: Path) -> dict[str, Path]:
    """The public keys by region."""
    return {path.stem: path for path in sorted((folder / "nodes").glob("*.pub"))}


def _authority(folder: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    try:
        certificate = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
        key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    except (OSError, ValueError) as error:
        raise SetupError(f"the authority in {folder} cannot be read: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise SetupError(f"{folder / 'ca.key'} should hold an elliptic curve key")
    return certificate, key


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        # One day back, because clocks of other machines may be hours behind.
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=sign_certificates, crl_sign=sign_certificates,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write_pair(folder: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(folder / f"{name}.key", private)
    _write(folder / f"{name}.crt", certificate.public_bytes(serialization.Encoding.PEM))


def _require_absent(folder: Path, *names: str) -> None:
    for name in names:
        if (folder / name).exists():
            raise SetupError(f"{folder / name} exists already and is not overwritten; choose another folder")


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
