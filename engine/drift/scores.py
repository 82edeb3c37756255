"""Statistics of the scores: ADWIN over the blocks' means, KSWIN over a sample of the windows; both from river.

river says that something changed; how far the scores are now from the reference says whether it matters.
A statistic is that distance once river has cut, and 0 before: a large sample makes the smallest change
certain, and nobody retrains for the smallest change.
"""

import importlib
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

QUANTILES = 257
"""Scores of the reference that become edges of bins, at the most."""

_STEEPNESS = 4.0
"""A window half way between a usual score and the threshold has the margin 0.12, one at the threshold 0.5."""

_ADWIN_DELTA = 0.002  # river's default, that of Bifet and Gavaldà, 2007
_ADWIN_MEANS = 2_000
"""Means after which ADWIN is built anew from the last half of them: it bounds what a snapshot has to hold."""

_KSWIN_ALPHA = 1e-4


class AlarmMargin:
    """A detector's score on a common scale: 0 to 1, 0.5 at the threshold, near 0 for the usual window."""

    def __init__(self, usual: float, threshold: float, spread: float) -> None:
        """Takes what the scale is made of.

        Args:
            usual: Median score of the reference.
            threshold: From which a window is anomalous.
            spread: Standard deviation of the reference's scores: the unit where the usual score is not below
                the threshold.
        """
        self.state = (usual, threshold, spread)
        unit = threshold - usual if threshold > usual else spread
        self._threshold, self._factor = threshold, _STEEPNESS / (unit if unit > 0 else 1.0)

    def of(self, scores: NDArray[np.floating[Any]]) -> Floats:
        """float64 (n,): the margin of each score."""
        found: Floats = 1 / (1 + np.exp(np.clip((self._threshold - scores) * self._factor, -50.0, 50.0)))
        return found


class MeanChange:
    """How far the mean alarm margin is from the reference's, once ADWIN has cut."""

    def __init__(self, reference: float, unit: float, means: Sequence[float] = (), cut: bool = False) -> None:
        """Starts with the means of the reference's blocks, or where another stood.

        Args:
            reference: Mean of the reference's blocks.
            unit: Range of the blocks' means by chance. ADWIN's bound is made for values between 0 and 1, and
                with a small part of that in use it would need thousands of blocks to cut.
            means: What `means` held.
            cut: What `cut` was.
        """
        self.reference = reference
        self._unit = unit
        self.means: list[float] = []
        self.cut = cut
        self._adwin = _adwin()
        for mean in means:
            self._feed(mean)

    def add(self, mean: float) -> float:
        """The statistic after another block with this mean."""
        if self._feed(mean):
            self.cut = True
        if len(self.means) >= _ADWIN_MEANS:
            kept, self.means, self._adwin = self.means[-_ADWIN_MEANS // 2 :], [], _adwin()
            for value in kept:
                self._feed(value)
        return abs(float(self._adwin.estimation) - 0.5) * self._unit if self.cut else 0.0

    def _feed(self, mean: float) -> bool:
        self.means.append(mean)
        self._adwin.update((mean - self.reference) / self._unit + 0.5)
        return bool(self._adwin.drift_detected)


def prepare() -> None:
    """Imports river, which takes two seconds: before the stream begins, not in the middle of it."""
    importlib.import_module("river.drift")


def _adwin() -> Any:
    from river.drift import ADWIN

    return ADWIN(delta=_ADWIN_DELTA, clock=1)  # type: ignore[no-untyped-call]


class ScoreBins:
    """The reference's scores as a histogram, so that distances of many blocks cost a few sums.

    Every edge is a bin of its own, and so is what lies between two of them: at the edges of the
    reference's own jumps the Kolmogorov-Smirnov distance is exact.
    """

    def __init__(self, edges: Floats, counts: NDArray[np.int64]) -> None:
        """Takes ascending edges, each once, and the reference's counts (2 * edges + 1,)."""
        self.edges = edges
        self.reference = counts
        self._below = np.cumsum(counts) / counts.sum()

    def __len__(self) -> int:
        return len(self.reference)

    @staticmethod
    def of(scores: NDArray[np.floating[Any]]) -> "ScoreBins":
        """The bins of a reference (n,)."""
        ordered = np.sort(scores, axis=None).astype(np.float64)
        places = np.linspace(0, len(ordered) - 1, min(QUANTILES, len(ordered))).round().astype(np.int64)
        edges = np.unique(ordered[places])
        return ScoreBins(edges, _binned(edges, ordered[None])[0])

    def counts(self, scores: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
        """int64 (m, bins): scores of each row (m, n) in each bin."""
        return _binned(self.edges, scores)

    def distance(self, counts: NDArray[np.int64]) -> Floats:
        """(…,): largest difference of the distribution functions, of counts (…, bins)."""
        below = np.cumsum(counts, axis=-1) / counts.sum(-1, keepdims=True)
        found: Floats = np.abs(below - self._below).max(-1)
        return found


def _binned(edges: Floats, scores: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    bins = np.searchsorted(edges, scores, "left") + np.searchsorted(edges, scores, "right")
    width = 2 * len(edges) + 1
    at = bins + np.arange(len(scores))[:, None] * width
    found: NDArray[np.int64] = np.bincount(at.ravel(), minlength=len(scores) * width).reshape(len(scores), width)
    return found


class ShapeChange:
    """The Kolmogorov-Smirnov distance of recent scores to the reference's, once KSWIN has cut."""

    def __init__(
        self, reference: Sequence[float], floor: float, size: int, recent: Sequence[float] = (), cut: bool = False,
        tests: int = 0, untested: int = 0,
    ) -> None:  # fmt: skip
        """Starts afresh, or where another stood.

        Args:
            reference: Scores that KSWIN draws from as those before the change; at least twice `size`.
            floor: KSWIN is asked only where the distance is at least this, and could be no chance: its test takes
                a millisecond.
            size: Scores that count as recent.
            recent: What `recent` held: scores, oldest first.
            cut: What `cut` was.
            tests: What `tests` was: the seed of KSWIN's next draw.
            untested: What `untested` was: scores since the last test.
        """
        self.reference = list(reference)
        self.recent = deque(recent, size)
        self.cut = cut
        self.tests = tests
        self.untested = untested
        self._gate = max(floor, float(np.sqrt(-np.log(_KSWIN_ALPHA / 2) / size)))

    def add(self, scores: Sequence[float], distance: float) -> float:
        """The statistic after another block: a sample of its windows, and the distance of the last blocks."""
        self.recent.extend(scores)
        self.untested += len(scores)
        size = len(self.recent)
        if not self.cut and distance >= self._gate and size == self.recent.maxlen and self.untested >= size:
            self.cut = self._test()
        return distance if self.cut else 0.0

    def _test(self) -> bool:
        """KSWIN's own test of the latest scores against a draw of the reference's."""
        from river.drift import KSWIN

        self.tests += 1
        self.untested = 0
        window = [*self.reference, *self.recent]
        kswin = KSWIN(_KSWIN_ALPHA, len(window), len(self.recent), seed=self.tests, window=window[:-1])
        kswin.update(window[-1])  # type: ignore[no-untyped-call]
        return bool(kswin.drift_detected)
