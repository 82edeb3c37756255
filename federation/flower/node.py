"""A region's node: the trainer, Flower's SuperNode and the executor of the thin ClientApp, kept alive.

Processes of a node::

    node (this process): the socket for jobs, and the supervision
    ├── trainer worker        torch during rounds, low priority                   federation.region.trainer_process
    ├── SuperNode             Flower's, asks the SuperLink for messages          federation.flower.supernode
    └── executor              runs the ClientApp for each message                federation.flower.executor

SuperNode and executor are a pair: if one ends, both are restarted. A SuperNode that waits for the reply of a dead
executor would block its place for over a minute; one that is asked to end reports to the SuperLink at once that its
answer will not come.
"""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from connectors.ports import free_port
from federation.errors import SetupError
from federation.flower.environment import flower_environment, flower_program, python_module, write_secret
from federation.flower.process_supervisor import Program
from federation.flower.settings import NodeSettings
from federation.protocol.region_name import require_region_name
from federation.region.trainer_process import START_S, Build, TrainerServer

POLL_S = 0.2
SOCKET = "trainer.sock"
MAX_SOCKET_PATH_BYTES = 100
"""A unix socket's path may have at most 107 bytes on Linux."""


class Node:
    """Call `start`, `watch` often, and `stop`; or `run`, which does all three."""

    def __init__(self, region: str, settings: NodeSettings, build: Build) -> None:
        """Start nothing yet.

        Args:
            region: Name of the region.
            settings: See the class.
            build: Builds the trainer in its own process.

        Raises:
            SetupError: keys or folders that cannot be used.
        """
        require_usable(region, settings)
        folder = settings.folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        socket, secret = folder / SOCKET, folder / "secret"
        self.trainer = TrainerServer(socket, build, limit_s=settings.job_limit_s, nice=settings.nice)
        write_secret(secret)
        environment = flower_environment(folder / "flower")

        def choose_port() -> None:
            """Before each start of the SuperNode: another program may have taken the port that was free last time."""
            address = f"127.0.0.1:{free_port()}"
            self.supernode.command = _supernode_command(region, settings, socket, secret, address)
            self.executor.command = python_module("federation.flower.executor", "client", address, str(secret))
            self.executor.end()  # a running one polls the old port

        self.supernode = Program("SuperNode", (), environment, folder / "supernode.log", before=choose_port)
        self.executor = Program("executor", (), environment, folder / "executor.log")

    def start(self, stop: threading.Event | None = None) -> "Node":
        """Start all three, the SuperNode when the trainer is ready: a node that is online can train.

        Args:
            stop: Ends the wait for the trainer early.
        """
        flower_program("flower-supernode")
        self.trainer.start()
        stop = stop or threading.Event()
        end_s = time.monotonic() + START_S
        while not self.trainer.ready and time.monotonic() < end_s and not stop.wait(POLL_S):
            pass
        self.supernode.start()
        self.executor.start()
        return self

    def watch(self) -> None:
        """Check SuperNode and executor once, and restart the pair if one has ended."""
        for ended, other in ((self.supernode, self.executor), (self.executor, self.supernode)):
            if ended.watch() and not ended.ending and other.alive:
                other.end()

    def stop(self) -> None:
        """End all three; the SuperNode first, so that the SuperLink does not wait for an answer."""
        self.supernode.stop()
        self.executor.stop()
        self.trainer.stop()

    def run(self, stop: threading.Event, alive: Callable[[], None] = lambda: None) -> None:
        """Run until `stop` is set; `alive` is called at every poll."""
        self.start(stop)
        try:
            while not stop.wait(POLL_S):
                self.watch()
                alive()
        finally:
            self.stop()


def _supernode_command(region: str, settings: NodeSettings, socket: Path, secret: Path, address: str) -> list[str]:
    node = f'region="{region}" socket="{socket}" limit_s={settings.job_limit_s} '
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
    """Check the settings of a node without starting or changing anything.

    Raises:
        SetupError: names, keys or folders that cannot be used.
    """
    require_region_name(region)
    if settings.key is not None and settings.root_certificates is None:
        raise SetupError("a node with a key needs root_certificates too: keys are only sent over TLS")
    for path in (settings.key, settings.root_certificates):
        if path is not None and not path.is_file():
            raise SetupError(f"{path} does not exist; `driftline federate keys` makes keys and certificates")
    if len(os.fsencode(settings.folder)) > MAX_SOCKET_PATH_BYTES - len(f"/{SOCKET}"):
        raise SetupError(f"the path of the node's folder is too long for a unix socket: {settings.folder}")
