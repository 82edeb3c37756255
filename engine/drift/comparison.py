"""What is kept between two blocks while a stream is compared with its reference, and its plain form."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.drift.blocks import SAMPLE_SHARE
from engine.drift.embedding import WindowFeatures
from engine.drift.reference import Recent, Reference
from engine.drift.scores import AlarmMargin, MeanChange, ScoreBins, ShapeChange
from engine.drift.settings import DriftSettings


@dataclass(slots=True)
class Watch:
    """A reference, and where the statistics against it stand."""

    reference: Reference
    recent: Recent
    mean: MeanChange
    shape: ShapeChange

    @staticmethod
    def begin(reference: Reference, recent: Recent, means: Sequence[float], settings: DriftSettings) -> "Watch":
        """Nothing compared yet; `means` are the reference's blocks'."""
        mean = MeanChange(reference.mean_margin, reference.unit, means)
        return Watch(reference, recent, mean, _shape(reference, settings))

    def snapshot(self) -> dict[str, Any]:
        """Plain data. river's detectors are kept as what they were fed: fed again, they stand where they stood."""
        reference, recent = self.reference, self.recent
        return {
            "windows": reference.windows,
            "counts": reference.counts.tobytes(),
            "thresholds": reference.thresholds,
            "margin": reference.margin.state,
            "mean_margin": reference.mean_margin,
            "unit": reference.unit,
            "edges": reference.bins.edges.tobytes(),
            "scores": reference.bins.reference.tobytes(),
            "sample": reference.sample.tobytes(),
            "features": None if reference.features is None else reference.features.snapshot(),
            "mean_features": reference.mean_features.tobytes(),
            "recent_counts": recent.counts.tobytes(),
            "recent_novelty": recent.novelty.tobytes(),
            "recent_scores": recent.scores.tobytes(),
            "recent_features": recent.features.tobytes(),
            "mean": {"means": list(self.mean.means), "cut": self.mean.cut},
            "shape": {name: getattr(self.shape, name) for name in ("cut", "tests", "untested")},
            "recent_sample": list(self.shape.recent),
        }

    @staticmethod
    def restored(state: dict[str, Any], settings: DriftSettings) -> "Watch":
        """What `snapshot` was taken of."""
        kept = settings.current_blocks

        def floats(name: str) -> Any:
            return np.frombuffer(state[name], np.float64)

        reference = Reference(
            state["windows"],
            np.frombuffer(state["counts"], np.int64),
            state["thresholds"],
            AlarmMargin(*state["margin"]),
            state["mean_margin"],
            state["unit"],
            ScoreBins(floats("edges"), np.frombuffer(state["scores"], np.int64)),
            np.frombuffer(state["sample"], np.float32),
            None if state["features"] is None else WindowFeatures.restored(state["features"]),
            floats("mean_features"),
        )
        recent = Recent(
            np.frombuffer(state["recent_counts"], np.int64).reshape(kept, -1),
            floats("recent_novelty"),
            np.frombuffer(state["recent_scores"], np.int64).reshape(kept, -1),
            floats("recent_features").reshape(kept, -1),
        )
        mean = MeanChange(reference.mean_margin, reference.unit, **state["mean"])
        return Watch(
            reference, recent, mean, _shape(reference, settings, recent=state["recent_sample"], **state["shape"])
        )


def _shape(reference: Reference, settings: DriftSettings, **stood: Any) -> ShapeChange:
    size = settings.current_blocks * len(range(0, settings.block_windows, SAMPLE_SHARE))
    return ShapeChange(reference.sample.tolist(), reference.thresholds["kswin"], size, **stood)
