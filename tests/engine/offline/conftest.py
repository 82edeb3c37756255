from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from engine.offline.detect import Preprocessing, Units
from engine.offline.evaluate import EvaluatedModel, Evaluation
from engine.offline.inputs import LogSpec
from engine.offline.run_log import TrainingRun
from engine.parsing.parse_settings import ParseSettings
from engine.steps.window import SessionWindows
from models.storage.store import Card
from models.thresholds.base import Threshold


def _card(name: str = "m", version: int = 1, detector: str = "bert_cnn", threshold: float = 0.5) -> Card:
    return Card(
        threshold=Threshold(rule="stddev", value=threshold), name=name, version=version, parent=None, detector=detector,
        created_at=datetime(2024, 5, 1, tzinfo=UTC), settings={}, extra={}, weights_sha256="0" * 64, seed=3,
    )  # fmt: skip


def _judged(scores: list[float], labels: list[bool], keys: list[str] | None = None, **card: object) -> EvaluatedModel:
    n = len(scores)
    units = Units(
        tuple(keys if keys is not None else [f"s{i}" for i in range(n)]),
        np.array(scores, np.float32),
        np.array(labels, bool),
        np.arange(n, dtype=np.int64) * 60_000_000_000,
        np.full(n, 7, np.int64),
    )
    return EvaluatedModel(_card(**card), units)


@pytest.fixture
def judged() -> Callable[..., EvaluatedModel]:
    """A detector's verdicts on hand-made units."""
    return _judged


@pytest.fixture
def evaluation(tmp_path: Path) -> Callable[..., Evaluation]:
    """An evaluation around verdicts, on a log that lies in the test's folder."""

    def make(main: EvaluatedModel, *others: EvaluatedModel, after: float = 0.0) -> Evaluation:
        log = tmp_path / "a.log"
        log.write_bytes(b"line\n")
        preprocessing = Preprocessing(ParseSettings(format="hdfs"), SessionWindows())
        return Evaluation(main, others, LogSpec(log), preprocessing, after, {"windows": len(main.units.scores)}, "")

    return make


@pytest.fixture
def run() -> Callable[..., TrainingRun]:
    """A logged run with a few figures."""

    def make(id: str = "20240501T000000Z-bert_cnn-0001", **changes: object) -> TrainingRun:
        content = {
            "id": id, "name": "m", "version": 2, "store": "models-store", "detector": "bert_cnn", "seed": 1,
            "settings": {"filters": 8, "training": {"epochs": 3}}, "started_at": datetime(2024, 5, 1, tzinfo=UTC),
            "train_s": 1.5, "threshold": Threshold(rule="percentile", value=0.5, settings={"percent": 99.0}),
            "data": {"windows": 10}, "metrics": {"validation": {"f1": 0.5}},
            "history": ({"loss": 2.0, "val_f1": 0.1}, {"loss": 1.0, "val_f1": 0.5}), "best_epoch": 1,
        }  # fmt: skip
        return TrainingRun(**(content | changes))

    return make
