"""What a region learns from: the records of its training store, and the contract of such a store."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.base import Templates, Windows
from models.classify.base import Lines

ASSUMED = "assumed"
"""Provenance of a window without a label, which counts as normal in training."""


class Purpose(StrEnum):
    """What stored windows are used for; a session serves one purpose, by the hash of its key."""

    TRAIN = "train"
    CALIBRATE = "calibrate"
    HOLDOUT = "holdout"


@dataclass(frozen=True, slots=True)
class LearningSet:
    """Labelled windows of one region.

    Attributes:
        windows: The windows.
        labels: bool (n,): True = anomalous.
        templates: The text of every id in `windows`.
        provenance: Origin of each label (n entries): `feedback`, `labels`, `rules`, or `assumed` for a window
            without a label, which counts as normal.
        sessions: int64 (n,): equal for windows of the same session; None if every window is a session of its own.
    """

    windows: Windows
    labels: NDArray[np.bool_]
    templates: Templates
    provenance: tuple[str, ...]
    sessions: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Windows with a label, bool (n,); the others are assumed to be normal."""
        return np.array([origin != ASSUMED for origin in self.provenance], bool)

    def subset(self, chosen: NDArray[np.bool_]) -> "LearningSet":
        """The windows where `chosen`, bool (n,), is True."""
        index = np.flatnonzero(chosen)
        provenance = tuple(self.provenance[i] for i in index.tolist())
        sessions = None if self.sessions is None else self.sessions[index]
        return LearningSet(self.windows.take(index), self.labels[index], self.templates, provenance, sessions)


@dataclass(frozen=True, slots=True)
class LineSet:
    """Templates of one region with their classes; every template occurs once.

    Attributes:
        lines: The templates as lines that consist of their text alone.
        labels: int64 (n,): index into `CLASSES`.
        weights: float64 (n,): 1 for a class given by a person, the rule's confidence for a class given by a rule.
        provenance: Origin of each class: `feedback`, `labels` or `rules`.
    """

    lines: Lines
    labels: NDArray[np.int64]
    weights: NDArray[np.float64]
    provenance: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class Spending:
    """The privacy cost of one training, in the figures that an accountant adds up.

    Attributes:
        round_id: Round of the training.
        noise_multiplier: Noise of a step, in clipping norms.
        sample_rate: Probability that a window is in a step.
        steps: Number of steps.
    """

    round_id: str
    noise_multiplier: float
    sample_rate: float
    steps: int


class LearningStore(Protocol):
    """A store that a region trains from; `TrainingStore` keeps it in SQLite."""

    def learning_set(self, purpose: Purpose, left_out: int | None = None, serving: int = 0) -> LearningSet:
        """The stored windows for this purpose, with their labels.

        Args:
            purpose: What they are used for.
            left_out: Half of the sessions, 0 or 1, that a candidate is judged on: `HOLDOUT` is all its labelled
                windows, `TRAIN` is that part of the other half, and `CALIBRATE` the rest of the other half.
            serving: Only windows that this version has scored in service, if the store knows when that began. The
                version has learnt from earlier ones.
        """
        ...

    def line_set(self, purpose: Purpose) -> LineSet:
        """The templates for this purpose, with their classes."""
        ...

    def spend(self, spending: Spending) -> None:
        """Record a training under differential privacy; call it before the training."""
        ...

    def spent(self) -> tuple[Spending, ...]:
        """Every recorded training, in order."""
        ...
