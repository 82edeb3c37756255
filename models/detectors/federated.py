"""What a detector needs to be federated: what leaves a region, and how it becomes one model.

A detector is federated in one of two ways. Either regions train the weights that they receive, and the round's
strategy averages the results; or, if its weights have another shape in every region, regions collect statistics of
their windows, and the coordinator fits the detector to the statistics of all. `FEDERATED` lists the detectors, and
`tests/federation/region/test_federated_detectors.py` checks each of them. Nothing here imports torch, so the
coordinator does without it.
"""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import Templates, WindowDetector, Windows

Arrays = Mapping[str, NDArray[Any]]
"""Statistics by name."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one region sent.

    Attributes:
        arrays: Its statistics; `Statistics.problem` found nothing wrong with them.
        windows: Number of windows that they count for, above 0. It may be less than the region claims, so that no
            region dominates the others.
    """

    arrays: Arrays
    windows: float


class Statistics(ABC):
    """How one detector is federated by statistics; stateless, the same object serves both sides of a round."""

    max_bytes: int
    """Largest size of the arrays that a region sends."""

    @abstractmethod
    def collect(
        self, windows: Windows, labels: NDArray[np.bool_], assumed: NDArray[np.bool_], templates: Templates
    ) -> dict[str, NDArray[Any]]:
        """Statistics of a region's own windows: all that leaves the region.

        Args:
            windows: Windows to learn from, at least one with a line.
            labels: bool (n,), True = anomalous.
            assumed: bool (n,), True where there is no label and the window is only assumed to be normal.
            templates: The text of every id in `windows`.
        """

    @abstractmethod
    def problem(self, arrays: Arrays) -> str | None:
        """Why received arrays cannot be used; None if they can. Regions are not trusted."""

    @abstractmethod
    def merge(self, detector: WindowDetector, parts: Sequence[Part], *, seed: int) -> None:
        """Fit the detector to the statistics of all regions; the order of the parts does not matter.

        Args:
            detector: Holds the weights that the round started from; left with the new ones.
            parts: At least one.
            seed: The same seed gives the same weights.

        Raises:
            TrainingError: the statistics of all regions together cannot train the detector.
        """


@dataclass(frozen=True, slots=True)
class Sharing:
    """How a detector is federated.

    Attributes:
        travels: What leaves a region, in words.
        statistics: `module:Class` of the `Statistics`; None if weights are averaged.
    """

    travels: str
    statistics: str | None = None


_WEIGHTS = Sharing("weights after the region's own training")
_OUTPUTS = Sharing("weights after the region's own training, and hashes of the templates of its normal windows")

FEDERATED: Mapping[str, Sharing] = {
    "bert_cnn": _WEIGHTS,
    "deeplog": _OUTPUTS,
    "event_counts": Sharing(
        "distinct windows as counts of their templates; templates and their words as hashes",
        "models.detectors.count_tables:CountTables",
    ),
    "logbert": _OUTPUTS,
    "lstm_autoencoder": _WEIGHTS,
}
"""Name of a window detector → how it is federated. A detector that is not listed stays in its region."""


def statistics_of(name: str) -> Statistics | None:
    """The statistics by which a detector is federated; None if its weights are averaged, or if it is not federated."""
    sharing = FEDERATED.get(name)
    if sharing is None or sharing.statistics is None:
        return None
    module, _, kind = sharing.statistics.partition(":")
    made: Statistics = getattr(importlib.import_module(module), kind)()
    return made
