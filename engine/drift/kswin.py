"""KSWIN over a sample of the scores.

Raab, Heusinger and Schleif, "Reactive soft prototype computing for concept drift streams", 2020.

The value is the Kolmogorov-Smirnov distance of the latest scores to the reference's once KSWIN has cut, and
0 before: KSWIN detects that something changed, the distance shows whether it matters.
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from engine.drift.base import Floats, Setup, Watches, rolling
from engine.drift.blocks import SAMPLE_SHARE, Blocks
from engine.drift.scores import ScoreBins
from engine.drift.warmed_up import WarmedUp

_ALPHA = 1e-4


class Kswin(WarmedUp):
    """See the module; 0 to 1."""

    name = "kswin"
    watches: ClassVar[Watches] = "scores"
    floor = 0.25
    reach = 1.0
    kept = ("usual_scores", "edges", "usual", "recent", "sample", "latest", "cut", "tests", "untested")

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.usual_scores = np.zeros(
            (0, self.settings.block_windows), np.float32
        )  # scores of the reference, until used
        self.edges: Floats = np.zeros(0)
        self.usual = np.zeros(0, np.int64)  # the reference's scores in each bin
        self.recent = np.zeros((0, 0), np.int64)  # (c, bins): sampled scores of the latest blocks
        self.sample: list[float] = []  # scores that KSWIN draws from as those before a change
        self.latest: list[float] = []  # the latest sampled scores, oldest first
        self.cut = False
        self.tests = 0  # the seed of KSWIN's next draw
        self.untested = 0  # scores since the last test

    def learn(self, blocks: Blocks) -> None:
        """See `WarmedUp.learn`."""
        self.usual_scores = np.concatenate([self.usual_scores, blocks.scores])

    def complete(self, blocks: Blocks) -> Floats:
        """See `WarmedUp.complete`."""
        scores = self.usual_scores
        bins = ScoreBins.of(scores)
        sampled = bins.counts(scores[:, ::SAMPLE_SHARE])
        self.edges, self.usual = bins.edges, bins.reference
        self.recent = sampled[-self.settings.current_blocks :]
        self.sample = np.ascontiguousarray(scores[:, ::SAMPLE_SHARE]).ravel().tolist()
        self.usual_scores = scores[:0]
        alone = bins.counts(scores)
        return np.array(
            [ScoreBins(bins.edges, self.usual - own).distance(row) for own, row in zip(alone, sampled, strict=True)]
        )

    def compare(self, blocks: Blocks) -> tuple[Floats, Floats]:
        """See `WarmedUp.compare`."""
        bins, keep = ScoreBins(self.edges, self.usual), self.settings.current_blocks
        sampled = blocks.scores[:, ::SAMPLE_SHARE]
        counts = bins.counts(sampled)
        recent = np.concatenate([self.recent, counts])
        self.recent = recent[-keep:]
        distances = bins.distance(rolling(recent, keep)).tolist()
        found = [self._add(*pair) for pair in zip(sampled.tolist(), distances, strict=True)]
        return np.array(found), bins.distance(counts)

    def _add(self, scores: list[float], distance: float) -> float:
        """The value after another block: a sample of its scores, and the distance of the latest blocks."""
        size = self.settings.current_blocks * len(scores)
        self.latest = [*self.latest, *scores][-size:]
        self.untested += len(scores)
        # Only where the distance reaches the limit and could be more than chance: a test takes a millisecond.
        gate = max(self.limit, float(np.sqrt(-np.log(_ALPHA / 2) / size)))
        if not self.cut and distance >= gate and len(self.latest) == size and self.untested >= size:
            self.cut = self._test()
        return distance if self.cut else 0.0

    def _test(self) -> bool:
        """KSWIN's test of the latest scores against as many of the reference's, drawn at random."""
        self.tests += 1
        self.untested = 0
        drawn = np.random.default_rng(self.tests).choice(self.sample, len(self.latest), replace=False)
        return chance_of_distance(drawn.tolist(), self.latest) <= _ALPHA


def chance_of_distance(first: Sequence[float], second: Sequence[float]) -> float:
    """Probability of a Kolmogorov-Smirnov distance at least this large of two samples of one distribution.

    Exact for samples of equal size without ties: Gnedenko and Korolyuk, 1951, by reflected paths.

    Args:
        first: n values.
        second: n values.
    """
    size, values = len(first), np.concatenate([first, second])
    counts = (np.searchsorted(np.sort(sample), values, side="right") for sample in (first, second))
    steps = int(np.abs(np.subtract(*counts)).max())
    if not steps:
        return 1.0
    paths = [_paths(size, k * steps) for k in range(1, size // steps + 1)]
    return min(1.0, 2 * (sum(paths[::2]) - sum(paths[1::2])))


def _paths(size: int, height: int) -> float:
    """Share of the orders of two samples that reach a height: the binomial of 2n over n - height, by that over n."""
    return math.exp(2 * math.lgamma(size + 1) - math.lgamma(size - height + 1) - math.lgamma(size + height + 1))
