"""The shipped nginx configuration before a SuperLink with node keys: who comes through, and who does not."""

import shutil
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from flwr.proto.fleet_pb2 import ActivateNodeRequest, RegisterNodeFleetRequest
from flwr.supercore.interceptors.http.runtime_version import RuntimeVersionHttpInterceptor
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from connectors.ports import free_port
from federation.flower import keys
from federation.flower.nginx_config import nginx_config
from tests.support.fleet import LIMIT_S, REGIONS, RunningFleet, until

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin")
pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed"),
]


@dataclass
class Guarded:
    """A fleet behind the proxy, and where everything of it is."""

    fleet: RunningFleet
    folder: Path
    port: int

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def ask(self, path: str, *, authority: Path | None = None, body: bytes | None = b"") -> int:
        """Status of an anonymous request from outside."""
        context = ssl.create_default_context(cafile=str(authority or self.folder / "ca.crt"))
        request = urllib.request.Request(f"https://{self.address}{path}", data=body)
        try:
            with urllib.request.urlopen(request, context=context, timeout=LIMIT_S) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code

    def activate(self, key: ec.EllipticCurvePrivateKey, claimed: ec.EllipticCurvePublicKey | None = None) -> None:
        """Does what a SuperNode with this key does first."""
        public = key.public_key()
        interceptors = [RuntimeVersionHttpInterceptor(component_name="SuperNode"), NodeAuthHttpInterceptor(key, public)]
        authority = (self.folder / "ca.crt").read_bytes()
        with FleetHttpClient.from_server_address(self.address, False, authority, interceptors=interceptors) as client:
            raw = public_key_to_bytes(claimed or public)
            client.ActivateNode(ActivateNodeRequest(public_key=raw, heartbeat_interval=30))

    def register(self, key: ec.EllipticCurvePrivateKey) -> None:
        """Tries to register without being let in."""
        interceptors = [
            RuntimeVersionHttpInterceptor(component_name="SuperNode"), NodeAuthHttpInterceptor(key, key.public_key()),
        ]  # fmt: skip
        authority = (self.folder / "ca.crt").read_bytes()
        with FleetHttpClient.from_server_address(self.address, False, authority, interceptors=interceptors) as client:
            client.RegisterNode(RegisterNodeFleetRequest(public_key=public_key_to_bytes(key.public_key())))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    root = tmp_path_factory.mktemp("guarded")
    folder, port = root / "keys", free_port()
    keys.make_authority(folder)
    keys.make_server_certificate(folder, ["127.0.0.1"])
    for region in REGIONS:
        keys.make_node_key(folder, region)
    superlink = {
        "certificate": folder / "server.crt", "certificate_key": folder / "server.key", "authority": folder / "ca.crt",
    }  # fmt: skip
    fleet = RunningFleet(
        root, superlink=superlink,
        node=lambda region: {
            "superlink": f"127.0.0.1:{port}", "root_certificates": folder / "ca.crt",
            "key": folder / "nodes" / f"{region}.key",
        },
    )  # fmt: skip
    for region, path in keys.node_keys(folder).items():
        fleet.superlink.register(path, region)
    config = folder / "nginx.conf"
    config.write_text(nginx_config(folder, listen=f"127.0.0.1:{port}", port=int(fleet.superlink.address.split(":")[1])))
    assert NGINX is not None
    nginx = subprocess.Popen([NGINX, "-c", str(config), "-g", "daemon off;"], stderr=subprocess.DEVNULL)
    try:
        with fleet:
            yield Guarded(fleet, folder, port)
    finally:
        nginx.terminate()
        nginx.wait(LIMIT_S)


def test_a_whole_round_comes_through(guarded: Guarded) -> None:
    result = guarded.fleet.run()
    assert result.accepted
    assert result.participants == REGIONS
    named = {node.name for node in guarded.fleet.superlink.nodes() if node.status == "online"}
    assert named == set(REGIONS)


def test_an_update_larger_than_nginx_allows_by_default_comes_through(guarded: Guarded) -> None:
    assert guarded.ask("/v1/fleet/push-object", body=bytes(3 << 20)) != 413


@pytest.mark.parametrize(
    "path",
    [
        "/v1/control/start-run", "/v1/control/list-runs", "/v1/control/register-node", "/v1/control/stop-run",
        "/v1/runtime/acquire-task", "/v1/runtime/pull-messages", "/v1/runtime/responses", "/", "/docs",
        "/openapi.json", "/health", "/v1/fleet/", "/v1/fleet/../control/list-runs",
        "/v1/fleet/%2e%2e/control/list-runs",
        "/v1/fleet//..//control/list-runs", "/v1/fleet/pull-messages/../../control/list-runs", "//v1/control/list-runs",
    ],
)  # fmt: skip
def test_no_other_route_is_reachable_from_outside(guarded: Guarded, path: str) -> None:
    assert guarded.ask(path) == 403


def test_a_node_without_a_key_is_refused(guarded: Guarded) -> None:
    assert guarded.ask("/v1/fleet/pull-messages") in (400, 401, 415, 422)


def test_a_key_that_is_not_registered_is_refused(guarded: Guarded) -> None:
    stranger = ec.generate_private_key(ec.SECP384R1())
    with pytest.raises(httpx.HTTPStatusError, match="412 Precondition Failed"):
        guarded.activate(stranger)
    with pytest.raises(httpx.HTTPStatusError, match=r"error .4\d\d "):
        guarded.register(stranger)


def test_a_stranger_cannot_claim_a_registered_key_without_its_private_half(guarded: Guarded) -> None:
    registered = load_ssh_private_key((guarded.folder / "nodes" / "eu.key").read_bytes(), None)
    assert isinstance(registered, ec.EllipticCurvePrivateKey)
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        guarded.activate(ec.generate_private_key(ec.SECP384R1()), claimed=registered.public_key())


def test_a_copied_key_is_refused_while_its_owner_is_there(guarded: Guarded) -> None:
    copied = load_ssh_private_key((guarded.folder / "nodes" / "eu.key").read_bytes(), None)
    assert isinstance(copied, ec.EllipticCurvePrivateKey)
    with pytest.raises(httpx.HTTPStatusError, match=r"error .4\d\d "):
        guarded.activate(copied)


def test_plaintext_is_refused(guarded: Guarded) -> None:
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(f"http://{guarded.address}/v1/fleet/pull-messages", data=b"", timeout=LIMIT_S)


def test_a_coordinator_of_another_authority_is_not_believed(guarded: Guarded, tmp_path: Path) -> None:
    keys.make_authority(tmp_path)
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        guarded.ask("/v1/fleet/pull-messages", authority=tmp_path / "ca.crt")


def test_a_supernode_without_a_registered_key_ends_and_never_takes_part(guarded: Guarded) -> None:
    node = guarded.fleet.nodes["eu"]
    command = [*node.supernode.command]
    stranger = guarded.folder / "stranger"
    keys.make_node_key(stranger, "eu")
    command[command.index("--auth-supernode-private-key") + 1] = str(stranger / "nodes" / "eu.key")
    command[command.index("--port") + 1] = str(free_port())
    ended = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert ended.returncode != 0
    until("still three nodes", lambda: guarded.fleet.online() == len(REGIONS))
