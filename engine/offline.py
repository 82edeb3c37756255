"""Detection on files, without a dataflow: training, evaluating and scoring with the engine's own steps."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from engine.corpus.datasets import LabelledWindows, LogSpec, load_windows, split_by_time
from engine.models import embedding_cache
from engine.parsing.parse_settings import ParseSettings
from engine.settings import load
from engine.window import WindowSettings
from models.base import Progress
from models.metrics import evaluate as figures
from models.scoring import WindowScorer
from models.store import ModelStore
from models.training import Trained, TrainSettings, train


@dataclass(frozen=True, slots=True)
class Cutting:
    """How lines become windows; the same for training and for the engine that uses the model."""

    parse: ParseSettings
    window: WindowSettings


def learnable(data: LabelledWindows) -> LabelledWindows:
    """What a detector can learn from: growth steps of anomalous sessions are left out.

    A session's label says that something in it is anomalous, not where. A cut that ends before it
    looks normal, and calling it anomalous would teach the detector to call normal beginnings so.
    """
    return data.take(np.flatnonzero(data.windows.closed | ~data.labels))


def train_on_log(
    spec: LogSpec, cutting: Cutting, settings: TrainSettings, store: ModelStore, name: str,
    *, first: float = 1.0, device: str = "auto", progress: Progress | None = None,
) -> tuple[Trained, LabelledWindows]:  # fmt: skip
    """Trains on the first share of a log's sessions by time and publishes the result.

    Args:
        spec: The log and its labels.
        cutting: How it is cut.
        settings: What is trained.
        store: Where it is published.
        name: Under which name.
        first: Share of the sessions, 0..1, in the order of their first line.
        device: See `models.registry.build`.
        progress: See `models.base.Progress`.

    Returns:
        The trained detector with its card's content, and the windows it was given.

    Raises:
        DataError: the log or its labels cannot be used.
        ModelError: training or publishing failed.
    """
    data = load_windows(spec, cutting.parse, cutting.window)
    if first < 1:
        data, _ = split_by_time(data, first)
    data = learnable(data)
    labelled = spec.labels is not None or bool(data.labels.any())
    trained = train(
        data.windows, data.labels if labelled else None, data.templates, settings,
        store=store, name=name, source=spec.log.name, device=device, cache=embedding_cache(), progress=progress,
    )  # fmt: skip
    return trained, data


@dataclass(frozen=True, slots=True)
class ScoredLog:
    """A log's windows with their scores, and the version that gave them."""

    data: LabelledWindows
    scores: NDArray[np.float32]
    model: str
    version: int
    threshold: float

    def by_session(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Highest score and label of each session; windows without a key stand for themselves."""
        if not any(self.data.keys):
            return self.scores, self.data.labels
        keys, session = np.unique(np.array(self.data.keys), return_inverse=True)
        scores = np.full(len(keys), -np.inf, np.float32)
        np.maximum.at(scores, session, self.scores)
        labels = np.zeros(len(keys), bool)
        np.logical_or.at(labels, session, self.data.labels)
        return scores, labels

    def figures(self) -> dict[str, Any]:
        """Precision, recall, F1 and the areas, by session where there are sessions."""
        scores, labels = self.by_session()
        return evaluate_both(scores, labels, self.threshold)


def evaluate_both(scores: NDArray[np.float32], labels: NDArray[np.bool_], threshold: float) -> dict[str, Any]:
    """`models.metrics.evaluate`, with the number of units judged."""
    return {"units": len(labels), "anomalous": int(labels.sum()), **figures(scores, labels, threshold)}


def score_log(
    spec: LogSpec, cutting: Cutting, store: ModelStore, name: str, version: int | None = None,
    *, after: float = 0.0, device: str = "auto", progress: Callable[[int, int], None] | None = None,
) -> ScoredLog:  # fmt: skip
    """Scores the sessions of a log that follow its first share `after` (0..1) by time.

    Raises:
        DataError: the log or its labels cannot be used.
        StoreError: the version is missing or damaged.
    """
    stored = store.load(name, version, device=device, cache=embedding_cache())
    data = load_windows(spec, cutting.parse, cutting.window)
    if after > 0:
        _, data = split_by_time(data, after)
    scorer = WindowScorer(stored.detector, stored.card.version, stored.card.threshold.value)
    scorer.learn_templates(data.templates)
    scores = np.concatenate([scorer.score(data.windows.take(part)) for part in _parts(len(data), progress)])
    return ScoredLog(data, scores, name, stored.card.version, stored.card.threshold.value)


def _parts(count: int, progress: Callable[[int, int], None] | None, size: int = 8192) -> Iterator[NDArray[np.int64]]:
    for start in range(0, count, size):
        yield np.arange(start, min(start + size, count))
        if progress is not None:
            progress(min(start + size, count), count)


def default_cutting(format: str, kind: str, settings: dict[str, Any]) -> Cutting:
    """A cutting without a region's file: a log format, a kind of window, and the window's settings.

    Raises:
        ValueError: no such format, kind of window or setting.
    """
    window: WindowSettings = TypeAdapter(WindowSettings).validate_python({"kind": kind, **settings})
    return Cutting(ParseSettings(format=format), window)


def region_cutting(path: Path) -> tuple[Cutting, str, str, str]:
    """Cutting, store, model name and device from a region's file.

    Raises:
        SettingsFileError: see `engine.settings.load`.
    """
    settings = load(path)
    return Cutting(settings.parse, settings.window), settings.model.store, settings.model.name, settings.model.device
