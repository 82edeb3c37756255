"""Detectors: training, scores, explanations, figures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from os import PathLike, fspath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from driftline._tables import Table, pyarrow
from driftline._windows import LogWindows
from engine.offline.detect import learnable, units_of
from engine.offline.inputs import DatasetError
from foundation.settings_errors import validated
from models import train_detector
from models.base import WindowDetector
from models.storage.store import ModelStore
from models.text.embeddings import embedding_cache
from models.training.metrics import evaluate as figures_of
from models.training.scoring import WindowScorer

Progress = Callable[[str, int, int, Mapping[str, float]], None]


@dataclass(frozen=True, slots=True)
class TrainedDetector:
    """A trained window detector with its threshold.

    Attributes:
        detector: The detector itself.
        threshold: A score at or above it is anomalous.
        name: In the store, or that of the detector.
        version: In the store; None if it was not published.
        metrics: Figures by split, such as `metrics["validation"]["f1"]`.
    """

    detector: WindowDetector
    threshold: float
    name: str
    version: int | None = None
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def __repr__(self) -> str:
        version = "not published" if self.version is None else f"version {self.version}"
        return f"<TrainedDetector {self.name}, {version}, threshold {self.threshold:.6g}>"


def train(
    windows: LogWindows,
    detector: str = "bert_cnn",
    *,
    settings: Mapping[str, Any] | None = None,
    threshold: str = "auto",
    threshold_settings: Mapping[str, float] | None = None,
    folds: int = 0,
    seed: int = 0,
    store: str | PathLike[str] | None = None,
    name: str | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> TrainedDetector:
    """Train a window detector, and publish it if a store is given.

    Args:
        windows: What to learn from; `bert_cnn` and other supervised detectors need labels.
        detector: `bert_cnn`, `deeplog`, `event_counts`, `logbert` or `lstm_autoencoder`.
        settings: Settings of the detector (docs/model-settings.md).
        threshold: `auto`, `percentile`, `stddev`, `iqr`, `pot` or `best_f1`.
        threshold_settings: Settings of the threshold rule.
        folds: Folds of the cross-fitted threshold; 0 uses a 20 % holdout.
        seed: Of the split and of the training.
        store: Folder or fsspec URL of a model store to publish in.
        name: Name in the store; that of the detector if None.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        progress: Called as (stage, done, total, figures so far).

    Raises:
        DriftlineError: a setting is unknown, the windows cannot train the detector, or the store cannot be written.

    Example:
        >>> import driftline
        >>> lines = [f"2024-03-10 06:25:{i:02d},123 INFO shop: order {i} placed" for i in range(40)]
        >>> windows = driftline.windows(driftline.parse(lines), kind="sliding", size=4, stride=2)
        >>> driftline.train(windows, "event_counts").name
        'event_counts'
    """
    chosen = validated(
        train_detector.TrainSettings,
        {
            "detector": detector, "settings": dict(settings or {}), "threshold": threshold, "folds": folds,
            "threshold_settings": dict(threshold_settings or {}), "seed": seed,
        },
        "training",
    )  # fmt: skip
    data = learnable(windows.data)
    trained = train_detector.train(
        data.windows, data.labels if windows.labelled else None, data.templates, chosen,
        store=None if store is None else ModelStore(fspath(store)), name=name, device=device,
        cache=embedding_cache(), progress=progress,
    )  # fmt: skip
    return TrainedDetector(
        trained.detector, trained.threshold, name or detector, trained.version, trained.notes.metrics
    )


def score(windows: LogWindows, model: TrainedDetector) -> Table:
    """Score windows; higher is more anomalous.

    Returns:
        The table of `LogWindows.to_arrow` with the columns `score` and `alert`, whether it reaches the threshold.
    """
    scores = _scores(windows, model)
    return windows.to_arrow().append_column("score", [scores]).append_column("alert", [scores >= model.threshold])


def explain(windows: LogWindows, model: TrainedDetector, *, top: int = 5) -> Table:
    """Explain scores by the lines of the windows; costs far more than scoring, so choose a few windows.

    Args:
        windows: Those to explain, see `LogWindows.take`.
        model: Whose scores they are.
        top: Lines per window, those that add most to its score.

    Returns:
        A `pyarrow.Table` with the columns `window` and `line` (indexes), `template`, and `contribution`: what the
        line adds to the score of its window.

    Raises:
        DriftlineError: the detector needs the extra `explain`, which is not installed.
    """
    data = windows.data
    _learn(windows, model)
    contributions = model.detector.explain(data.windows).contributions
    rows: dict[str, list[Any]] = {"window": [], "line": [], "template": [], "contribution": []}
    for window in range(len(data)):
        part = slice(int(data.windows.offsets[window]), int(data.windows.offsets[window + 1]))
        for line in np.argsort(-contributions[part], kind="stable")[:top].tolist():
            rows["window"].append(window)
            rows["line"].append(line)
            rows["template"].append(data.templates[int(data.windows.ids[part][line])])
            rows["contribution"].append(float(contributions[part][line]))
    return pyarrow().table(rows)


def evaluate(windows: LogWindows, model: TrainedDetector) -> dict[str, float]:
    """Compare scores with the labels of the windows, by session where lines have a session key.

    Returns:
        `units` (sessions or windows), `anomalous`, `precision`, `recall`, `f1`, `accuracy`, the four counts, and
        with both classes `roc_auc` and `pr_auc`. The threshold is that of the model.

    Raises:
        DriftlineError: the windows have no labels, or the extra `train` is not installed.
    """
    if not windows.labelled:
        raise DatasetError("the windows have no labels to compare with")
    units = units_of(windows.data, _scores(windows, model))
    counts = {"units": len(units.labels), "anomalous": int(units.labels.sum())}
    return {**counts, **figures_of(units.scores, units.labels, model.threshold)}


def _scores(windows: LogWindows, model: TrainedDetector) -> NDArray[np.float32]:
    _learn(windows, model)
    return WindowScorer(model.detector, model.version or 0, model.threshold).score(windows.data.windows)


def _learn(windows: LogWindows, model: TrainedDetector) -> None:
    model.detector.learn_templates(windows.templates)
