"""Client of a SuperLink's control interface: its nodes and its runs."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from flwr.common.serde import fab_to_proto, user_config_to_proto
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    ListRunsRequest,
    RegisterNodeRequest,
    StartRunRequest,
    StopRunRequest,
)
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.fab import Fab
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

from federation.errors import SetupError
from federation.flower.app_bundle import bundle


@dataclass(frozen=True, slots=True)
class KnownNode:
    """A node in the SuperLink's list.

    Attributes:
        node_id: Its id there.
        name: Name that its key was registered under, "" without keys.
        status: `online`, or another state.
        public_key: Its key, b"" without keys.
    """

    node_id: int
    name: str
    status: str
    public_key: bytes = b""


class Control:
    """Calls the control interface; every failure is a SetupError."""

    def __init__(self, address: str, authority: Path | None, *, secure: bool) -> None:
        """Connect to nothing yet.

        Args:
            address: host:port of the SuperLink.
            authority: Certificate of the authority that signed the SuperLink's.
            secure: Whether the connection is encrypted.
        """
        self._address = address
        self._authority = authority
        self._secure = secure
        self._client: Any = None

    def nodes(self) -> tuple[KnownNode, ...]:
        """The nodes that are registered with the SuperLink.

        Raises:
            SetupError: it does not answer.
        """
        answer = self._call("ListNodes", ListNodesRequest())
        return tuple(KnownNode(n.node_id, n.name, n.status, n.public_key) for n in answer.nodes_info)

    def register(self, public_key: bytes, region: str) -> None:
        """Register a node's key under the name of its region.

        Raises:
            SetupError: the SuperLink does not answer, or refuses.
        """
        self._call("RegisterNode", RegisterNodeRequest(public_key=public_key, name=region))

    def submit(self, folder: Path) -> int:
        """Start a run for the round in `folder` and return its id.

        Raises:
            SetupError: the SuperLink does not answer, or refuses.
        """
        content = bundle()
        fab = fab_to_proto(Fab(hashlib.sha256(content).hexdigest(), content, {}))
        config = user_config_to_proto({"folder": str(folder)})
        answer = self._call("StartRun", StartRunRequest(fab=fab, override_config=config))
        if not answer.HasField("run_id"):
            raise SetupError("the SuperLink did not accept the run")
        return int(answer.run_id)

    def outcome(self, run_id: int) -> str | None:
        """How the run ended, as Flower reports it; None while it is running.

        Raises:
            SetupError: the SuperLink does not answer.
        """
        run = self._call("ListRuns", ListRunsRequest(run_id=run_id)).run_dict[run_id]
        return f"{run.status.sub_status}: {run.status.details}" if run.status.status == "finished" else None

    def stop(self, run_id: int) -> None:
        """Stop a run.

        Raises:
            SetupError: the SuperLink does not answer, or refuses.
        """
        self._call("StopRun", StopRunRequest(run_id=run_id))

    def close(self) -> None:
        """Close the connection; the next call opens another one."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _call(self, name: str, request: Any) -> Any:
        try:
            return getattr(self._connected(), name)(request)
        except httpx.HTTPStatusError as error:
            raise SetupError(f"the SuperLink refused {name}: {error.response.text[:300]}") from error
        except (httpx.HTTPError, OSError) as error:  # also of a certificate that cannot be read
            raise SetupError(f"the SuperLink on {self._address} does not answer: {error!r}") from error

    def _connected(self) -> Any:
        if self._client is None:
            self._client = ControlHttpClient.from_server_address(
                server_address=self._address,
                insecure=not self._secure,
                root_certificates=None if self._authority is None else self._authority.read_bytes(),
                interceptors=[RuntimeVersionHttpInterceptor(component_name="flwr CLI")],
            )
        return self._client


def read_public_key(path: Path) -> bytes:
    """A node's public key, in Flower's encoding.

    Raises:
        SetupError: the file holds no elliptic curve key in the OpenSSH format.
    """
    try:
        key = load_ssh_public_key(path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise SetupError(f"{path} holds no public key in the OpenSSH format: {error}") from error
    if not isinstance(key, EllipticCurvePublicKey):
        raise SetupError(f"{path} holds a key of another kind; a node needs a NIST elliptic curve key")
    return public_key_to_bytes(key)
