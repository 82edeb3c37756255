"""A stored detector judged on a labelled log: the figures, and how far to trust them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.offline.detect import Preprocessing, ScoredLog, Units
from engine.offline.inputs import LogSpec, sha256
from engine.offline.label_files import COLUMN
from models.storage.store import Card
from models.training.metrics import Confusion, confusion, evaluate

FLOOR = "event_counts"
"""The detector that every other one has to beat."""

_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class EvaluatedModel:
    """One detector on one log: its input and its results."""

    card: Card
    units: Units

    @staticmethod
    def of(scored: ScoredLog) -> "EvaluatedModel":
        """From the scores of all windows."""
        return EvaluatedModel(scored.card, scored.units())

    @property
    def title(self) -> str:
        """Name and version."""
        return f"{self.card.name} v{self.card.version}"

    @property
    def threshold(self) -> float:
        """A score at or above it is anomalous."""
        return self.card.threshold.value

    @property
    def called(self) -> NDArray[np.bool_]:
        """Which units are called anomalous, bool (n,)."""
        return np.asarray(self.units.scores >= self.threshold, bool)

    def confusion(self) -> Confusion:
        """Counts at the card's threshold."""
        return confusion(self.units.scores, self.units.labels, self.threshold)

    def figures(self) -> dict[str, float]:
        """See `models.training.metrics.evaluate`."""
        return evaluate(self.units.scores, self.units.labels, self.threshold)

    def f1_interval(self) -> tuple[float, float]:
        """The middle 95 % of F1 when the units are drawn again with replacement.

        It shows how much F1 depends on which units happened to be in this log; not how it changes
        when the logs do. The cells of resampled units are multinomial, so no unit need be drawn.
        """
        cells = self.confusion()
        counts = np.array([cells.true_positives, cells.false_positives, cells.false_negatives, cells.true_negatives])
        drawn = np.random.default_rng(0).multinomial(int(counts.sum()), counts / counts.sum(), _RESAMPLES)
        hits, wrong = 2 * drawn[:, 0], drawn[:, 1] + drawn[:, 2]
        f1 = hits / np.maximum(hits + wrong, 1)
        low, high = np.percentile(f1, [2.5, 97.5])
        return float(low), float(high)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A detector judged on a log, others next to it on the same units, and where the data came from.

    Attributes:
        warnings: Sentences about models that were trained on this log.
    """

    main: EvaluatedModel
    others: tuple[EvaluatedModel, ...]
    spec: LogSpec
    preprocessing: Preprocessing
    after: float
    counts: dict[str, int]
    log_sha256: str
    warnings: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """What is judged."""
        return "session" if any(self.main.units.keys) else "window"

    def protocol(self) -> str:
        """Description of the protocol."""
        part = f"those after the first {self.after:.0%} by time" if self.after else "all of them"
        score = "; its score is the highest of its windows" if self.unit == "session" else ""
        return f"judged by {self.unit}, {part}{score}; the threshold is the card's and was not fitted on this log"

    def floor(self) -> str:
        """Sentence on whether the detector beats the floor; "" if the floor was not evaluated."""
        floors = [j for j in self.others if j.card.detector == FLOOR]
        if not floors or self.main.card.detector == FLOOR:
            return ""
        best = max(floors, key=lambda j: j.confusion().f1)
        mine, its = self.main.confusion().f1, best.confusion().f1
        verdict = "beats" if mine > its else "does not beat"
        return f"{self.main.title} {verdict} the floor {best.title}: F1 {mine:.4f} against {its:.4f}"

    def _labels(self) -> dict[str, str]:
        """The labels in metrics.json; the hash is empty where they are part of the log."""
        labels = self.spec.labels
        if labels is None or str(labels).startswith(COLUMN):
            return {"labels": str(labels or ""), "labels_sha256": ""}
        return {"labels": Path(labels).name, "labels_sha256": sha256((Path(labels),))}

    def document(self) -> dict[str, Any]:
        """The content of metrics.json."""
        labels = self.main.units.labels
        return {
            "format": 1,
            **_verdict(self.main),
            "protocol": self.protocol(),
            "unit": self.unit,
            "cutting": {
                "parse": self.preprocessing.parse.model_dump(mode="json", exclude_defaults=True),
                "window": self.preprocessing.window.model_dump(mode="json"),
                "after": self.after,
            },
            "counts": {
                "units": len(labels), "anomalous": int(labels.sum()), "normal": int((~labels).sum()), **self.counts,
            },
            "data": {
                "log": self.spec.title, "sha256": self.log_sha256, **self._labels(),
            },
            "compared": {judged.title: _verdict(judged) for judged in self.others},
            "floor": self.floor(),
            "warnings": list(self.warnings),
        }  # fmt: skip


def _verdict(judged: EvaluatedModel) -> dict[str, Any]:
    """A detector's own part of metrics.json."""
    card, figures = judged.card, judged.figures()
    cells = ("true_positives", "false_positives", "false_negatives", "true_negatives")
    return {
        "model": card.name,
        "version": card.version,
        "detector": card.detector,
        "weights_sha256": card.weights_sha256,
        "seed": card.seed,
        "threshold": judged.threshold,
        "threshold_rule": card.threshold.rule,
        **{name: value for name, value in figures.items() if name not in cells},
        "f1_interval": list(judged.f1_interval()),
        "confusion": {name: int(figures[name]) for name in cells},
    }
