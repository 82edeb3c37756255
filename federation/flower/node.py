"""A region's node: the warm trainer, Flower's SuperNode and the executor of the thin ClientApp, kept alive.

What runs under a node::

    node (this process): the socket that jobs come through, and the watching
    ├── trainer worker        torch, low priority, reads the training store      federation.region.trainer_process
    ├── SuperNode             Flower's, asks the SuperLink for messages          federation.flower.supernode
    └── executor              runs the ClientApp for each of them                federation.flower.executor

SuperNode and executor are one pair: where one ends, both are started anew. A SuperNode that waits for the
reply of a dead executor would hold its place for over a minute, and one that is told to end tells the
SuperLink at once that its answer will not come.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from connectors.ports import free_port
from federation.errors import SetupError
from federation.flower.process_supervisor import (
    AbsolutePath,
    LogFiles,
    Program,
    flower_environment,
    flower_program,
    python_module,
    write_secret,
)
from federation.protocol.region_name import require_region_name
from federation.region.region_policy import PrivacyDemand
from federation.region.trainer_process import START_S, Build, TrainerServer

log = logging.getLogger(__name__)

LOOK_S = 0.2
_SOCKET_PATH_BYTES = 100
"""A unix socket's path may have at most 107 bytes on Linux."""


class NodeSettings(BaseModel):
    """How a region takes part in rounds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    superlink: str = Field("127.0.0.1:9092", description="host:port of the coordinator, or of the proxy before it.")
    folder: AbsolutePath = Field(description="The node keeps its socket, secrets and logs here; owned by it alone.")
    root_certificates: AbsolutePath | None = Field(
        None, description="Certificate of the authority that signed the coordinator's; without it nothing is encrypted."
    )
    key: AbsolutePath | None = Field(
        None, description="The node's private key, as `driftline federate keys` writes it."
    )
    logs: LogFiles = Field(default_factory=LogFiles, description="How much output of its programs is kept.")
    privacy: PrivacyDemand = Field(
        default_factory=PrivacyDemand, description="What the region demands of rounds, whatever they ask for."
    )
    encoders: tuple[str, ...] = Field(
        (), description="Text encoders that a round may name beside those of the region's own current models, in "
        "[model] and [classify]; a round that names any other is refused.",
    )  # fmt: skip
    nice: Annotated[int, Field(ge=0, le=19)] = Field(
        10, description="How far the trainer stands back behind the engine."
    )
    job_limit_s: Annotated[float, Field(gt=0)] = Field(
        600.0, description="Seconds after which a training is killed, even if the round would wait longer."
    )


class Node:
    """`start`, `watch` often, `stop`; or `run`, which does all three."""

    def __init__(self, region: str, settings: NodeSettings, build: Build) -> None:
        """Starts nothing yet.

        Args:
            region: Its name in rounds.
            settings: See the class.
            build: Makes the trainer inside its own process.

        Raises:
            SetupError: keys or folders that cannot be used.
        """
        require_usable(region, settings)
        self._settings = settings
        self._folder = settings.folder
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = settings.folder / "trainer.sock"
        self.trainer = TrainerServer(path, build, limit_s=settings.job_limit_s, nice=settings.nice)
        secret = self._folder / "secret"
        write_secret(secret)
        environment = flower_environment(self._folder / "flower")

        def choose_port() -> None:
            """Before each start of the SuperNode: another program may have taken the port that was free last time."""
            address = f"127.0.0.1:{free_port()}"
            self.supernode.command = _supernode_command(region, settings, path, secret, address)
            self.executor.command = python_module("federation.flower.executor", "client", address, str(secret))
            self.executor.end()  # one that is started already looks for tasks at the old port

        self.supernode = Program(
            "SuperNode", (), environment, self._folder / "supernode.log", logs=settings.logs, before=choose_port
        )
        self.executor = Program("executor", (), environment, self._folder / "executor.log", logs=settings.logs)

    def start(self, stop: threading.Event | None = None) -> "Node":
        """Starts all three: the SuperNode once the trainer is ready, so that who is online can train.

        `stop` ends the waiting for that early.
        """
        flower_program("flower-supernode")
        self.trainer.start()
        stop = stop or threading.Event()
        end_s = time.monotonic() + START_S
        while not self.trainer.ready and time.monotonic() < end_s and not stop.wait(LOOK_S):
            pass
        self.supernode.start()
        self.executor.start()
        return self

    def watch(self) -> None:
        """One look at the pair; see the module."""
        for ended, other in ((self.supernode, self.executor), (self.executor, self.supernode)):
            if ended.watch() and not ended.told and other.alive:
                other.end()

    def stop(self) -> None:
        """Ends all three; the SuperNode first, so that the SuperLink knows that no answer will come."""
        self.supernode.stop()
        self.executor.stop()
        self.trainer.stop()

    def run(self, stop: threading.Event, alive: Callable[[], None] = lambda: None) -> None:
        """Runs until `stop` is set; `alive` is called at every look."""
        self.start(stop)
        try:
            while not stop.wait(LOOK_S):
                self.watch()
                alive()
        finally:
            self.stop()


def _supernode_command(region: str, settings: NodeSettings, path: Path, secret: Path, address: str) -> list[str]:
    node = f'region="{region}" socket="{path}" limit_s={settings.job_limit_s} '
    node += f"masked_only={str(settings.privacy.masked_only).lower()}"
    port = address.rpartition(":")[2]
    command = python_module("federation.flower.supernode", "--superlink", settings.superlink, "--port", port)
    command += ["--node-config", node, "--isolation", "process", "--superexec-auth-secret-file", str(secret)]
    if settings.root_certificates is None:
        command.append("--insecure")
    else:
        command += ["--root-certificates", str(settings.root_certificates)]
    if settings.key is not None:
        command += ["--auth-supernode-private-key", str(settings.key)]
    return command


def require_usable(region: str, settings: NodeSettings) -> None:
    """Looks at the settings of a node without starting or changing anything.

    Raises:
        SetupError: names, keys or folders that cannot be used.
    """
    require_region_name(region)
    if settings.key is not None and settings.root_certificates is None:
        raise SetupError("a node with a key needs root_certificates too: keys are only sent over TLS")
    for path in (settings.key, settings.root_certificates):
        if path is not None and not path.is_file():
            raise SetupError(f"{path} does not exist; `driftline federate keys` makes keys and certificates")
    if len(os.fsencode(settings.folder)) > _SOCKET_PATH_BYTES - len("/trainer.sock"):
        raise SetupError(f"the path of the node's folder is too long for a unix socket: {settings.folder}")
