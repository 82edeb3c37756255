"""What a region's training takes from its engine, on the same machine."""

import functools
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
from flwr.app import RecordDict

from bench.data.detection_data import hdfs_sessions
from bench.data.workloads import Workload, write_workload
from bench.harness import BenchError, Outcome, Run, Scenario, Target
from bench.processes.engine_process import EngineProcess, region
from bench.scenarios.engine_runs import LIMIT_S, spread, trained_store
from connectors.ports import free_port
from engine.runtime.federation_wiring import trainer_build
from engine.settings import load
from federation.errors import TrainerError
from federation.flower.record_codec import pack, unpack
from federation.flower.settings import NodeSettings
from federation.protocol import messages
from federation.protocol.records import ModelSpec, TrainTask
from federation.region.trainer_process import TrainerServer, request
from federation.storage.training_store import Label, TrainingSettings, TrainingStore
from models.storage.store import ModelStore

EPOCHS = 20
"""Of one training; its length does not matter, since the next one follows at once."""


def train_interference(run: Run) -> Outcome:
    """The engine from file to alerts, alone and while the region's trainer trains without a pause, alternating."""
    lines, rounds, seed = run.setting("lines", 3_000_000), run.setting("rounds", 3), run.setting("seed", 0)
    nice = run.setting("nice", int(NodeSettings.model_fields["nice"].default))
    models = trained_store(run)
    workload = write_workload(lines, seed=seed)
    run.settings["workload"] = workload.origin
    alone: list[float] = []
    parallel: list[float] = []
    with tempfile.TemporaryDirectory(prefix="driftline-bench-") as name:
        with _training(Path(name), models, nice) as trainings:
            for _ in range(rounds):
                alone.append(_lines_per_s(run, workload, models))
                with trainings.under_way():
                    parallel.append(_lines_per_s(run, workload, models))
    shares = [b / a for a, b in zip(alone, parallel, strict=True)]
    return Outcome(
        {
            "throughput_share": median(shares), "lines_per_s": median(alone), "training_lines_per_s": median(parallel),
            "trainings": trainings.done, "trained_windows_per_s": trainings.windows / trainings.busy_s,
        }
    )  # fmt: skip


@dataclass(slots=True)
class Trainings:
    """Trainings one after the other while `under_way`; counts what came of them."""

    ask: "functools.partial[bytes]"
    done: int = 0
    windows: int = 0
    busy_s: float = 0.0
    _failed: list[str] = field(default_factory=list)

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Trains in the background; the block begins when the trainer is at work."""
        stop, started = threading.Event(), threading.Event()
        thread = threading.Thread(target=self._train, args=(stop, started))
        start_s = time.perf_counter()
        thread.start()
        started.wait()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self.busy_s += time.perf_counter() - start_s
        if self._failed:
            raise BenchError(f"a training failed: {self._failed[0]}")

    def _train(self, stop: threading.Event, started: threading.Event) -> None:
        started.set()
        while not stop.is_set():
            try:
                content = unpack(self.ask())
                messages.raise_failure(content)
                update = messages.read_update("bench", content)
            except TrainerError as error:
                self._failed.append(str(error))
                return
            self.done += 1
            self.windows += update.examples * EPOCHS


@contextmanager
def _training(folder: Path, models: Path, nice: int) -> Iterator[Trainings]:
    """A warm trainer over the HDFS sessions, as a node runs it."""
    kept = TrainingSettings(path=folder / "training.db")
    fill_training_store(kept)
    sink = {"type": "jsonl", "path": str(folder / "alerts.jsonl")}
    source = {"type": "file", "paths": [str(folder / "none.log")]}
    training = {"training": {"path": str(kept.path)}}
    settings = region(folder, source=source, sink=sink, store=models, port=0, more=training)
    store = ModelStore(models)
    version = store.current("bert_cnn")
    assert version is not None
    card = store.any_card("bert_cnn", version)
    spec = ModelSpec(
        name=card.name, version=version, kind=card.kind, detector=card.detector, settings=card.settings,
        extra=card.extra,
    )  # fmt: skip
    task = TrainTask(round_id="bench", spec=spec, local_epochs=EPOCHS)
    content: RecordDict = messages.train(store.weights("bert_cnn", version), task).content
    path = folder / "trainer.sock"
    with TrainerServer(path, trainer_build(load(settings)), limit_s=LIMIT_S, nice=nice):
        ask = functools.partial(request, path, messages.TRAIN, pack(content), LIMIT_S)
        ask()  # templates are encoded and torch is warm, as between the passes of a round
        yield Trainings(ask)


def fill_training_store(settings: TrainingSettings, part: slice = slice(None)) -> None:
    """Puts the HDFS sessions, or a part of them, with their labels into a training store."""
    data = hdfs_sessions()
    index = np.arange(len(data))[part]
    names = [f"session {i}" for i in index.tolist()]
    with TrainingStore(settings.path, settings, now_ns=time.time_ns) as store:
        store.add(
            data.windows.take(index), keys=names, ids=names, time_ns=index.astype(np.int64) * 1_000_000_000,
            scores=np.zeros(len(index), np.float32), templates=data.templates,
        )  # fmt: skip
        labels = data.labels[index].tolist()
        store.label(Label(name, bool(bad), "labels", 0) for name, bad in zip(names, labels, strict=True))


def _lines_per_s(run: Run, workload: Workload, models: Path) -> float:
    with tempfile.TemporaryDirectory(prefix="driftline-bench-") as name:
        folder, port = Path(name), free_port()
        source = {"type": "file", "paths": spread(workload, folder)}
        sink = {"type": "jsonl", "path": str(folder / "alerts.jsonl")}
        settings = region(folder, source=source, sink=sink, store=models, port=port)
        with EngineProcess(settings, port) as engine:
            return engine.run_to_end(workload.total(), LIMIT_S, run.progress)["lines_per_s"]


TRAIN_INTERFERENCE = Scenario(
    "train-interference",
    "The engine's speed from file to alerts while the region's warm trainer trains all the time, against alone",
    train_interference,
    {"throughput_share": Target(goal=0.9, floor=0.8, tolerance=0.1)},
    detectors=("bert_cnn",),
)
