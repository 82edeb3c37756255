"""Keys: of the right kind, readable by their owner only, and never overwritten."""

import datetime
import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.supercore.primitives.asymmetric import uses_nist_ec_curve

from federation.errors import SetupError
from federation.flower import keys
from federation.flower.nginx_config import nginx_config


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    keys.make_authority(tmp_path / "keys")
    keys.make_server_certificate(tmp_path / "keys", ["logs.example.org", "10.0.0.7"])
    keys.make_node_key(tmp_path / "keys", "eu-west")
    return tmp_path / "keys"


def test_nobody_but_the_owner_reads_them(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) == 6
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700


def test_the_certificate_is_signed_and_names_the_coordinator_and_loopback(folder: Path) -> None:
    authority = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
    server = x509.load_pem_x509_certificate((folder / "server.crt").read_bytes())
    server.verify_directly_issued_by(authority)
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["logs.example.org", "localhost"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.7", "127.0.0.1"]
    left = server.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(days=800) < left <= datetime.timedelta(days=825)
    assert not server.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_tls_takes_the_pair_and_the_authority(folder: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    context.load_verify_locations(folder / "ca.crt")
    assert context.cert_store_stats()["x509_ca"] == 1


def test_a_nodes_key_is_what_flower_reads(folder: Path) -> None:
    private = serialization.load_ssh_private_key((folder / "nodes" / "eu-west.key").read_bytes(), None)
    public = serialization.load_ssh_public_key((folder / "nodes" / "eu-west.pub").read_bytes())
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert uses_nist_ec_curve(public)
    assert private.public_key() == public
    assert keys.node_keys(folder) == {"eu-west": folder / "nodes" / "eu-west.pub"}


@pytest.mark.parametrize(
    "again",
    [
        keys.make_authority,
        lambda folder: keys.make_server_certificate(folder, []),
        lambda folder: keys.make_node_key(folder, "eu-west"),
    ],
)
def test_nothing_is_overwritten(folder: Path, again: Callable[[Path], None]) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(SetupError, match="exists already and is not overwritten"):
        again(folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_region_can_be_added_later(folder: Path) -> None:
    keys.make_node_key(folder, "ap")
    assert sorted(keys.node_keys(folder)) == ["ap", "eu-west"]


@pytest.mark.parametrize("region", ["", "../eu", "a b", ".hidden", "a/b"])
def test_a_name_that_is_no_file_name_is_refused(folder: Path, region: str) -> None:
    with pytest.raises(SetupError, match="a region's name should have"):
        keys.make_node_key(folder, region)


def test_without_an_authority_there_is_no_certificate(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="the authority in"):
        keys.make_server_certificate(tmp_path, ["x"])


def test_the_proxys_configuration_is_whole(folder: Path) -> None:
    text = nginx_config(folder, listen="0.0.0.0:9443", port=9092, max_body_mib=64)
    assert "{{" not in text.replace("What is in {{ }}", "")
    assert "client_max_body_size 64m;" in text
    assert f"ssl_certificate {folder}/server.crt;" in text


@pytest.mark.parametrize("listen", ["", "9443; include /etc/passwd", "a b:1", "x:", "123456"])
def test_an_address_that_is_none_is_refused(folder: Path, listen: str) -> None:
    with pytest.raises(SetupError, match="listen should be"):
        nginx_config(folder, listen=listen, port=9092)


def test_a_folder_that_nginx_would_misread_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="nginx cannot use the folder"):
        nginx_config(tmp_path / "a b; c", listen="9443", port=9092)


@pytest.mark.skipif(shutil.which("nginx", path="/usr/sbin:/usr/bin") is None, reason="nginx is not installed")
def test_nginx_accepts_it(folder: Path) -> None:
    config = folder / "nginx.conf"
    config.write_text(nginx_config(folder, listen="127.0.0.1:19443", port=9092))
    checked = subprocess.run(["/usr/sbin/nginx", "-t", "-c", str(config)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
