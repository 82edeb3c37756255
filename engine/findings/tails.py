"""Calibrates a detector's surprise on the stream itself.

A detector's model is never quite right: where a log is burstier than a negative binomial, chances of one in a million
come every hour. So the greatest surprise of each block is kept, and the tail of what was seen is fitted and
extrapolated exponentially above a high quantile, as in streaming peaks-over-threshold (Siffer et al., KDD 2017,
https://doi.org/10.1145/3097983.3098144) with a shape of zero. The scale is the median excess over ln 2, which the
anomalies in the past hardly move, and at least 1: a model is never believed more than it believes itself.
"""

import math

import numpy as np

from engine.findings.base import State

_KEPT = 400
_PEAKS = 24
_PRIOR_PEAKS = 6.0


class Calibrator:
    """Turns surprises of one detector into calibrated ones, in the order of the blocks."""

    def __init__(self, state: State | None = None) -> None:
        self._recent: list[float] = list((state or {}).get("recent", ()))

    def calibrated(self, surprise: float) -> float:
        """-ln of the chance that a block of this source shows a surprise as great; at most the surprise itself."""
        n = len(self._recent)
        if n == 0:
            return surprise
        peaks = np.sort(np.array(self._recent))[::-1]
        k = int(min(_PEAKS, max(1, n // 10)))
        above, base = peaks[:k], float(peaks[k]) if n > k else 0.0
        base = max(base, 0.0)
        scale = (float(np.median(above - base)) / math.log(2) * k + _PRIOR_PEAKS) / (k + _PRIOR_PEAKS)
        scale = max(1.0, scale)
        if surprise <= base:
            return max(0.0, min(surprise, math.log((n + 1) / (1 + float((peaks >= surprise).sum())))))
        return min(surprise, math.log((n + 1) / (k + 1)) + (surprise - base) / scale)

    def learn(self, surprise: float) -> None:
        """Adds the greatest surprise of a block, 0 where it showed none."""
        self._recent.append(max(0.0, surprise))
        del self._recent[:-_KEPT]

    def snapshot(self) -> State:
        """The state."""
        return {"recent": list(self._recent)}
