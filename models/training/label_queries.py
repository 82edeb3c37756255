"""Which windows to ask a person about: those whose label teaches a detector most.

Pool-based active learning in batches. The value of a label is the product of three factors:

* **Uncertainty**: how near the window's score is to the threshold (Lewis and Gale, "A Sequential Algorithm for
  Training Text Classifiers", 1994). Nearness is measured in ranks, so it means the same for every detector.
* **Density**: the mean similarity to all windows, since a label of a frequent behaviour is used often (information
  density: Settles and Craven, "An Analysis of Active Learning Strategies for Sequence Labeling Tasks", 2008).
* **Diversity**: the distance to the nearest window that is answered or already chosen, so that each behaviour is asked
  about once (Brinker, "Incorporating Diversity in Active Learning with Support Vector Machines", 2003).

Similarity is the cosine of logarithmic template counts, weighted by inverse frequency. Windows with the same templates
are one group and share an answer.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.base import Windows
from models.text.ragged import content_keys, distinct

MAX_CANDIDATES = 4096
"""Groups between which diversity decides, the most valuable ones by the other two factors: bounds memory and time."""

_CHUNK = 512


@dataclass(frozen=True, slots=True)
class LabelQuery:
    """A window to ask about.

    Attributes:
        window: Its index.
        like: int64 (m,), ascending: indexes of all windows with the same templates, `window` among them.
        uncertainty: 0 (far from the threshold) to 1 (at the threshold).
    """

    window: int
    like: NDArray[np.int64]
    uncertainty: float


def uncertainties(scores: NDArray[np.float32], threshold: float) -> NDArray[np.float64]:
    """Nearness of scores to a threshold in ranks of distinct scores, float64 (n,): 0 to 1, 1 at the threshold."""
    distinct_scores, rank_of = np.unique(scores, return_inverse=True)
    at = np.searchsorted(distinct_scores, np.float32(threshold))
    # The ranks on both sides are equally near, so that the threshold may lie anywhere between two scores.
    apart = np.where(rank_of < at, at - 1 - rank_of, rank_of - at)
    return np.asarray(1 - apart / len(distinct_scores), np.float64)


def choose_queries(
    windows: Windows, uncertainty: NDArray[np.float64], budget: int, *, answered: NDArray[np.bool_] | None = None
) -> tuple[LabelQuery, ...]:
    """Choose windows to ask about, the most valuable first.

    Args:
        windows: The windows. Empty ones are never asked about.
        uncertainty: float64 (n,): 0 to 1, see `uncertainties`.
        budget: Maximum number of queries.
        answered: bool (n,): windows with an answer. Windows with the same templates are not asked about again.

    Returns:
        At most `budget` queries; fewer if there are fewer groups without an answer.
    """
    filled = np.flatnonzero(windows.lengths())
    if not len(filled) or budget < 1:
        return ()
    first, group = alike(windows.take(filled))
    known = np.zeros(len(first), bool)
    if answered is not None:
        known[group[answered[filled]]] = True
    unsure = np.zeros(len(first))
    np.maximum.at(unsure, group, uncertainty[filled])
    space = _Space.of(windows.take(filled[first]), np.bincount(group))
    value = np.where(known, -1.0, np.maximum(unsure, 1e-9) * space.density)
    candidates = np.argsort(-value, kind="stable")[: min(MAX_CANDIDATES, int((~known).sum()))]
    chosen = candidates[_spread(space, candidates, value[candidates], np.flatnonzero(known), budget)]
    order = np.argsort(group, kind="stable")
    ends = np.cumsum(np.bincount(group))
    return tuple(
        LabelQuery(int(filled[first[g]]), filled[order[ends[g - 1] if g else 0 : ends[g]]], float(unsure[g]))
        for g in chosen.tolist()
    )


def alike(windows: Windows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Group windows by their template counts.

    Returns:
        int64 (groups,), ascending: index of the first window of each group; int64 (n,): the group of each window.
    """
    window = np.repeat(np.arange(len(windows)), windows.lengths())
    ids = windows.ids[np.lexsort((windows.ids, window))]
    return distinct(content_keys(Windows(ids, windows.offsets, np.ones(len(windows), bool))))


@dataclass(frozen=True, slots=True)
class _Space:
    """Groups as sparse vectors of length 1: entry i is `value[i]` in `column[i]` of group `row[i]`; rows ascend.

    Attributes:
        density: float64 (groups,): mean cosine similarity to all windows.
    """

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    value: NDArray[np.float64]
    density: NDArray[np.float64]

    @staticmethod
    def of(windows: Windows, counts: NDArray[np.int64]) -> "_Space":
        """Vectors of one window per group; `counts` says how many windows each group has."""
        vocabulary, column = np.unique(windows.ids, return_inverse=True)
        row = np.repeat(np.arange(len(windows)), windows.lengths())
        cell, times = np.unique(row * len(vocabulary) + column, return_counts=True)
        row, column = np.divmod(cell, len(vocabulary))
        total = counts.sum()
        value = np.log1p(times) * np.log1p(total / np.bincount(column, counts[row]))[column]
        value /= np.sqrt(np.bincount(row, value**2))[row]
        mean = np.bincount(column, value * counts[row]) / total
        return _Space(row, column, value, np.asarray(np.bincount(row, value * mean[column]), np.float64))

    def dense(self, groups: NDArray[np.int64]) -> NDArray[np.float32]:
        """float32 (len(groups), columns)."""
        found = np.zeros((len(groups), int(self.column.max()) + 1), np.float32)
        start, stop = np.searchsorted(self.row, groups), np.searchsorted(self.row, groups, "right")
        for i, (begin, end) in enumerate(zip(start.tolist(), stop.tolist(), strict=True)):
            found[i, self.column[begin:end]] = self.value[begin:end]
        return found


def _spread(
    space: _Space, candidates: NDArray[np.int64], value: NDArray[np.float64], known: NDArray[np.int64], budget: int
) -> list[int]:
    """Indexes into `candidates`: greedily the most valuable, where likeness to known or chosen ones costs value."""
    vectors = space.dense(candidates)
    nearest = np.zeros(len(candidates), np.float32)
    for begin in range(0, len(known), _CHUNK):
        np.maximum(nearest, (vectors @ space.dense(known[begin : begin + _CHUNK]).T).max(1), out=nearest)
    left = np.ones(len(candidates), bool)
    chosen: list[int] = []
    while len(chosen) < budget and left.any():
        # A remainder of value keeps the order by the other factors among windows that are all alike.
        best = int(np.where(left, value * np.maximum(1 - nearest, 1e-3), -1.0).argmax())
        chosen.append(best)
        left[best] = False
        np.maximum(nearest, vectors @ vectors[best], out=nearest)
    return chosen
