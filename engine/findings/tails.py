"""Calibrates a detector's surprise on the stream itself.

A detector's model is never quite right: where a log is burstier than a negative binomial, chances of one in a million
come every hour. So the greatest surprises of the last blocks are kept, and the tail of what was seen is fitted and
extrapolated exponentially above a high quantile, as in streaming peaks-over-threshold (Siffer et al., KDD 2017,
https://doi.org/10.1145/3097983.3098144) with a shape of zero. The scale is the median excess over ln 2, which the
anomalies in the past hardly move, and at least 1: the calibrated surprise never exceeds the model's own.

Peaks of one event are not independent: a flood that lasts for forty blocks would be forty peaks. They are declustered
by runs before the fit (Leadbetter et al. 1989; Ferro and Segers 2003, https://doi.org/10.1111/1467-9868.00401): the
surprises of one thing that are less than `_RUN` blocks apart are one episode, whose greatest surprise counts, and so
are those of several things that begin in one block. What belongs to an episode that lasts is compared with the other
episodes only.
"""

import math
from collections.abc import Hashable, Mapping
from operator import itemgetter

from engine.findings.base import State

LEAST = 1.0
"""Surprise from which detectors report at all."""
_KEPT = 400
"""Blocks whose peaks are kept."""
_MAX_EPISODES = 1000
_PEAKS = 24
_PRIOR_PEAKS = 6.0
_RUN = 32
"""Blocks without a surprise that end an episode: the longest window in which one block is counted."""


Episode = tuple[float, int, frozenset[Hashable]]


class Calibrator:
    """Turns surprises of one detector into calibrated ones, in the order of the blocks."""

    def __init__(self, state: State | None = None) -> None:
        saved = state or {}
        self._n: int = saved.get("n", 0)
        # Greatest surprise and last block of each episode, and what it is about, by time of the last block.
        self._episodes: list[Episode] = list(saved.get("episodes", ()))

    def calibrated(self, surprise: float, about: Hashable) -> float:
        """-ln of the chance that a block of this source shows a surprise as great; at most the surprise itself.

        Args:
            surprise: By the detector's own model.
            about: What it is about.
        """
        n = min(self._n, _KEPT)
        peaks = [peak for peak, last, of in self._episodes if about not in of or self._n - last > _RUN]
        if not peaks:
            return surprise
        peaks.sort(reverse=True)
        k = min(_PEAKS, max(1, n // 10), len(peaks))
        base = peaks[k] if len(peaks) > k else LEAST
        # They are sorted, so the middle ones are the median.
        middle = ((peaks[(k - 1) // 2] - base) + (peaks[k // 2] - base)) / 2
        scale = max(1.0, (middle / math.log(2) * k + _PRIOR_PEAKS) / (k + _PRIOR_PEAKS))
        if surprise <= base:
            higher = sum(peak >= surprise for peak in peaks)
            return max(0.0, min(surprise, math.log((n + 1) / (1 + higher))))
        return min(surprise, math.log((n + 1) / (k + 1)) + (surprise - base) / scale)

    def learn(self, highest: Mapping[Hashable, float]) -> None:
        """Adds the greatest surprise of a block for each thing that showed one."""
        gone = 0
        while gone < len(self._episodes) and self._n - self._episodes[gone][1] >= _KEPT:
            gone += 1
        del self._episodes[:gone]
        if highest:
            self._add(dict(highest))
        self._n += 1

    def _add(self, begins: dict[Hashable, float]) -> None:
        episodes = self._episodes
        for i, (peak, last, of) in enumerate(episodes):
            shown = [begins.pop(about) for about in of & begins.keys() if self._n - last <= _RUN]
            if shown:
                episodes[i] = max(peak, *shown), self._n, of
        if begins:
            episodes.append((max(begins.values()), self._n, frozenset(begins)))
        self._episodes = sorted(episodes, key=itemgetter(1))[-_MAX_EPISODES:]

    def snapshot(self) -> State:
        """The state."""
        return {"n": self._n, "episodes": list(self._episodes)}
