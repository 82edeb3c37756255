"""Regions without trainers, for measurements of what carries a round: real SuperNodes, prepared answers."""

import contextlib
import socket
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import numpy as np
from numpy.typing import NDArray

from connectors.ports import free_port
from federation.errors import TrainerError
from federation.flower.environment import flower_environment, python_module, write_secret
from federation.flower.executor import CLIENT_APP, Runtime, run_message, serve
from federation.flower.process_supervisor import Program
from federation.flower.record_codec import pack, unpack
from federation.protocol import messages
from federation.protocol.calibration import sketch_scores
from federation.protocol.records import HoldoutFigures, Pairs, ScoreSketch, TrainTask, Update, Weights
from federation.region.trainer_connection import TrainerConnection

JOB_S = 600.0


@dataclass(frozen=True, slots=True)
class PreparedAnswers:
    """A region that moves every weight by one, and finds one anomaly more with the candidate."""

    region: str

    def templates(self, task: TrainTask) -> NDArray[np.int64]:
        """See `RegionClient`."""
        return np.zeros(0, np.int64)

    def train(self, weights: Weights, task: TrainTask) -> Update:
        """See `RegionClient`."""
        return Update(self.region, {name: array + np.float32(1) for name, array in weights.items()}, 100, {})

    def calibrate(self, weights: Weights, task: TrainTask) -> ScoreSketch:
        """See `RegionClient`."""
        scores = np.array([0.1, 0.2, 0.9], np.float32)
        return sketch_scores(self.region, scores, np.array([False, False, True]))

    def evaluate(
        self, candidate: Weights, current: Weights, task: TrainTask, thresholds: tuple[float, float]
    ) -> HoldoutFigures:
        """See `RegionClient`."""
        return HoldoutFigures(self.region, (5, 3, 5, 87), (9, 3, 1, 87), Pairs(found=4))


class ThinRegion:
    """A SuperNode and its executor. The executor is a thread of this process, unless its memory is of interest."""

    def __init__(self, name: str, folder: Path, superlink: str, *, executor_process: bool) -> None:
        """Start nothing yet."""
        folder.mkdir(parents=True)
        self._secret, self._address = folder / "secret", f"127.0.0.1:{free_port()}"
        write_secret(self._secret)
        path = folder / "t.sock"
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(8)
        self._answers = PreparedAnswers(name)
        environment = flower_environment(folder / "flower")
        command = python_module(
            "federation.flower.supernode", "--superlink", superlink, "--port", self._address.rpartition(":")[2],
            "--node-config", f'region="{name}" socket="{path}" limit_s={JOB_S}', "--isolation", "process",
            "--superexec-auth-secret-file", str(self._secret), "--insecure",
        )  # fmt: skip
        self.supernode = Program("SuperNode", command, environment, folder / "supernode.log")
        executor = python_module("federation.flower.executor", "client", self._address, str(self._secret))
        self.executor = Program("executor", executor, environment, folder / "executor.log")
        self._executor_process = executor_process

    def start(self) -> None:
        """Start the SuperNode, and whatever answers its messages."""
        self.supernode.start()
        threading.Thread(target=self._train, daemon=True).start()
        if self._executor_process:
            self.executor.start()
        else:
            threading.Thread(target=self._execute, daemon=True).start()

    def stop(self) -> None:
        """End the processes; the threads end with this one."""
        self.supernode.stop()
        self.executor.stop()
        self._listener.close()

    def _execute(self) -> None:
        with contextlib.suppress(httpx.TransportError):  # the SuperNode has been stopped
            serve(Runtime(self._address), self._secret.read_bytes(), CLIENT_APP, run_message)

    def _train(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # stopped
                return
            with TrainerConnection(client) as connection:
                try:
                    header, body = connection.receive(JOB_S)
                    content = messages.answer(self._answers, str(header["kind"]), unpack(body))
                    connection.send({"error": None}, pack(content))
                except TrainerError:  # the client is gone
                    continue


class ThinRegions:
    """Several regions at one SuperLink; a context manager."""

    def __init__(self, count: int, folder: Path, superlink: str) -> None:
        """Start nothing yet; only the first region has an executor of its own process."""
        self.regions = [
            ThinRegion(f"r{number}", folder / f"{number}", superlink, executor_process=number == 0)
            for number in range(count)
        ]
        self._running = ExitStack()

    def __enter__(self) -> Self:
        for region in self.regions:
            region.start()
            self._running.callback(region.stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()
