"""KSWIN over a sample of the scores, from river.

Raab, Heusinger and Schleif, "Reactive soft prototype computing for concept drift streams", 2020.

The value is the Kolmogorov-Smirnov distance of the latest scores to the reference's once KSWIN has cut, and
0 before: KSWIN says that something changed, the distance says whether it matters.
"""

from typing import ClassVar

import numpy as np
from river.drift import KSWIN

from engine.drift.base import Floats, Setup, Statistic, Watches, rolling
from engine.drift.blocks import SAMPLE_SHARE, Blocks
from engine.drift.chance import apart, bound, draws
from engine.drift.scores import ScoreBins

_ALPHA = 1e-4


class Kswin(Statistic):
    """See the module; 0 to 1."""

    name = "kswin"
    watches: ClassVar[Watches] = "scores"
    floor = 0.25
    kept = ("learnt", "edges", "usual", "recent", "by_chance", "sample", "latest", "cut", "tests", "untested")

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.learnt = np.zeros((0, self.settings.block_windows), np.float32)  # scores of the reference, until used
        self.edges: Floats | None = None
        self.usual = np.zeros(0, np.int64)  # the reference's scores in each bin
        self.recent = np.zeros((0, 0), np.int64)  # (c, bins): sampled scores of the latest blocks
        self.by_chance = 0.0
        self.sample: list[float] = []  # scores that KSWIN draws from as those before a change
        self.latest: list[float] = []  # the latest sampled scores, oldest first
        self.cut = False
        self.tests = 0  # the seed of KSWIN's next draw
        self.untested = 0  # scores since the last test

    def _learn(self, blocks: Blocks) -> None:
        self.learnt = np.concatenate([self.learnt, blocks.scores])

    def update(self, blocks: Blocks) -> Floats:
        """See `Statistic.update`."""
        bins = self._bins()
        sampled = blocks.scores[:, ::SAMPLE_SHARE]
        keep = self.settings.current_blocks
        recent = np.concatenate([self.recent, bins.counts(sampled)])
        self.recent = recent[-keep:]
        distances = bins.distance(rolling(recent, keep)).tolist()
        return np.array([self._add(*pair) for pair in zip(sampled.tolist(), distances, strict=True)])

    def chance(self) -> float:
        """See `Statistic.chance`."""
        return self.by_chance

    def _bins(self) -> ScoreBins:
        """The reference's histogram; made when it is first needed."""
        if self.edges is None:
            made = ScoreBins.of(self.learnt)
            sampled = self.learnt[:, ::SAMPLE_SHARE]
            counts = made.counts(sampled)
            keep = self.settings.current_blocks
            seen = [made.distance(apart(counts, chosen)[1]) for chosen in draws(len(counts), keep)]
            self.by_chance = max(bound(values, self.settings.chance) for values in seen)
            self.edges, self.usual, self.recent = made.edges, made.reference, counts[-keep:]
            self.sample = np.ascontiguousarray(sampled).ravel().tolist()
            self.learnt = self.learnt[:0]
        return ScoreBins(self.edges, self.usual)

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
        """KSWIN's own test of the latest scores against a draw of the reference's."""
        self.tests += 1
        self.untested = 0
        window = [*self.sample, *self.latest]
        kswin = KSWIN(_ALPHA, len(window), len(self.latest), seed=self.tests, window=window[:-1])
        kswin.update(window[-1])  # type: ignore[no-untyped-call]
        return bool(kswin.drift_detected)
