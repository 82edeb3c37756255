"""Figures of a line classifier on labelled lines."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.classify.base import CLASSES


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """Counts by class, and what follows from them.

    Attributes:
        matrix: float64 (classes, classes): lines of the class of the row that were given that of the column.
    """

    matrix: NDArray[np.float64]

    @property
    def accuracy(self) -> float:
        """Share of the lines given their class."""
        return float(np.trace(self.matrix) / max(self.matrix.sum(), 1))

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the classes that a line has or was given, as scikit-learn's `f1_score(average="macro")`."""
        present = (self.matrix.sum(0) + self.matrix.sum(1)) > 0
        return float(self.f1[present].mean()) if present.any() else 0.0

    @property
    def precision(self) -> NDArray[np.float64]:
        """By class; 0 where none was given."""
        return _share(np.diag(self.matrix), self.matrix.sum(0))

    @property
    def recall(self) -> NDArray[np.float64]:
        """By class; 0 where no line has it."""
        return _share(np.diag(self.matrix), self.matrix.sum(1))

    @property
    def f1(self) -> NDArray[np.float64]:
        """By class; 0 where nothing is right."""
        return _share(2 * np.diag(self.matrix), self.matrix.sum(0) + self.matrix.sum(1))

    def table(self) -> dict[str, float]:
        """Accuracy, macro F1, and precision, recall and F1 of every class that a line has."""
        found = {"accuracy": self.accuracy, "macro_f1": self.macro_f1}
        for name, values in (("precision", self.precision), ("recall", self.recall), ("f1", self.f1)):
            lines = self.matrix.sum(1)
            found |= {f"{CLASSES[c]}.{name}": float(values[c]) for c in range(len(CLASSES)) if lines[c]}
        return found


def class_figures(
    truth: NDArray[np.int64], given: NDArray[np.int64], weights: NDArray[np.float64] | None = None
) -> ClassFigures:
    """The figures of lines whose class is `truth` and that were given `given`.

    Args:
        truth: int64 (n,): index into `CLASSES`.
        given: int64 (n,).
        weights: float64 (n,): how many lines each entry represents; 1 each if None.
    """
    matrix = np.zeros((len(CLASSES), len(CLASSES)))
    np.add.at(matrix, (truth, given), 1.0 if weights is None else weights)
    return ClassFigures(matrix)


def _share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
