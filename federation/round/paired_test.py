"""Which of two models is better, from the sessions on which exactly one of them is right.

Both models judge the same sessions, so only those where they differ are evidence. If neither were better, each of
these would as likely be the other way round. The test is exact: of all ways to swap them, the share that speaks at
least as strongly for one model is the chance that its advantage is luck (McNemar, 1947, and the randomisation test of
Fisher, with weights). Sessions are weighted so that the advantage has the sign of the gain of F1: with the mean F of
both models, an anomaly counts 1 - F/2 and a false alarm F/2.

All functions are pure. Exchanging the two models exchanges the results, and more evidence of the same kind makes
the outcome surer.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from federation.protocol.records import Pairs

MAX_PAIRS = 20_000
"""Larger tables are scaled down to it: beyond, chance is far below any level, and time and memory would grow."""

NEEDED_LIMIT = 1_000
"""With more missing sessions than this, their number is not worth stating."""

_SLACK = 1e-9
_Z90 = 1.6449
"""Standard deviations of a two-sided interval of 90 %, whose ends each have the level of a one-sided test at .05."""


def swapped(pairs: Pairs) -> Pairs:
    """The same sessions with the roles of the two models exchanged."""
    return Pairs(pairs.lost, pairs.found, pairs.raised, pairs.cleared)


def chance(pairs: Pairs, f1: float) -> float:
    """Probability of an advantage of the candidate at least this large if neither model were better.

    Args:
        pairs: Sessions on which exactly one model is right.
        f1: Mean F1 of both models; 1 weighs anomalies and false alarms alike.
    """
    larger = max(pairs.found + pairs.lost, pairs.cleared + pairs.raised)
    pairs = pairs.scaled(MAX_PAIRS / larger) if larger > MAX_PAIRS else pairs
    anomalies, normals = pairs.found + pairs.lost, pairs.cleared + pairs.raised
    of_anomaly, of_normal = 1 - f1 / 2, f1 / 2
    observed = of_anomaly * (pairs.found - pairs.lost) + of_normal * (pairs.cleared - pairs.raised)
    values = of_anomaly * (2 * np.arange(anomalies + 1) - anomalies)
    missing = observed - values - _SLACK * (1 + abs(observed))
    at_least = _tail(normals)
    if of_normal > _SLACK:
        needed = np.clip(np.ceil((missing / of_normal + normals) / 2), 0, normals + 1).astype(np.int64)
    else:
        needed = np.where(missing <= 0, 0, normals + 1)
    return float(min(1.0, (_halves(anomalies) * at_least[needed]).sum()))


def sessions_needed(pairs: Pairs, f1: float, level: float) -> int | None:
    """Fewest further anomalies, all found by the candidate alone, that bring `chance` to `level`.

    A false alarm weighs at most as much as an anomaly, so no fewer sessions of any kind are enough.

    Returns:
        0 if it is there already; None if more than `NEEDED_LIMIT` are needed.
    """
    low, high = 0, 1
    if chance(pairs, f1) <= level:
        return 0
    while chance(pairs + Pairs(found=high), f1) > level:
        low, high = high, 2 * high
        if high > 2 * NEEDED_LIMIT:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if chance(pairs + Pairs(found=middle), f1) <= level else (middle, high)
    return high if high <= NEEDED_LIMIT else None


def f1_interval(current: Sequence[float], candidate: Sequence[float], pairs: Pairs) -> tuple[float, float]:
    """Interval of 90 % of the gain of F1, by the delta method on the paired counts.

    Args:
        current: True positives, false positives, false negatives and true negatives of the current model.
        candidate: The same for the candidate.
        pairs: Sessions in which the two differ.
    """
    gain = _f1(candidate) - _f1(current)
    both_found = max(0.0, current[0] - pairs.lost)
    neither = max(0.0, current[2] - pairs.found)
    both_called = max(0.0, current[1] - pairs.cleared)
    # Count, and whether each model calls the session anomalous, of anomalous and of normal sessions.
    cells = np.array(
        [
            (both_found, 1, 1, 1), (pairs.found, 1, 0, 1), (pairs.lost, 1, 1, 0), (neither, 1, 0, 0),
            (both_called, 0, 1, 1), (pairs.raised, 0, 0, 1), (pairs.cleared, 0, 1, 0),
        ],
        np.float64,
    )  # fmt: skip
    count, truth, by_current, by_candidate = cells.T
    influence = _influence(candidate, truth, by_candidate) - _influence(current, truth, by_current)
    spread = _Z90 * math.sqrt(float((count * influence**2).sum()))
    return max(-1.0, gain - spread), min(1.0, gain + spread)


def _influence(cells: Sequence[float], truth: NDArray[np.float64], called: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much one more such session changes F1, to first order."""
    size = 2 * cells[0] + cells[1] + cells[2]
    return (2 * truth * called - _f1(cells) * (truth + called)) / size if size else np.zeros(len(truth))


def _f1(cells: Sequence[float]) -> float:
    size = 2 * cells[0] + cells[1] + cells[2]
    return 2 * cells[0] / size if size else 0.0


def _halves(count: int) -> NDArray[np.float64]:
    """Probabilities of 0 to `count` heads in `count` tosses: float64 (count + 1,)."""
    logs = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, count + 1)))))
    return np.asarray(np.exp(logs[-1] - logs - logs[::-1] - count * math.log(2)))


def _tail(count: int) -> NDArray[np.float64]:
    """Probabilities of at least 0 to `count + 1` heads in `count` tosses: float64 (count + 2,)."""
    return np.concatenate((np.cumsum(_halves(count)[::-1])[::-1], [0.0]))
