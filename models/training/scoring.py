"""Scoring in service: identical windows are scored once, and remembered for this model version."""

import numpy as np
from numpy.typing import NDArray

from models.base import Templates, WindowDetector, Windows
from models.text.ragged import content_keys, distinct


class WindowScorer:
    """A version of a detector with its threshold, and a bounded memory of its scores.

    A score is remembered by the window's content and `closed` flag (`sequences.content_keys`). The
    memory belongs to this scorer, hence to one version of the weights. Windows with a template that
    the detector has not encoded yet are not cached, since their score changes once it has.

    Attributes:
        detector: Scores what is not remembered. Templates may be taught to it directly.
        version: In the model store.
        threshold: A score at or above it is anomalous.
        hits: Windows whose score was not computed: remembered, or equal to another of the batch.
        misses: Windows that the detector scored.
    """

    def __init__(
        self, detector: WindowDetector, version: int, threshold: float, *, cache_entries: int = 200_000
    ) -> None:
        """`cache_entries` is the most scores remembered; about 150 bytes each. 0 remembers none."""
        self.detector = detector
        self.version = version
        self.threshold = threshold
        self.hits = 0
        self.misses = 0
        # Two generations: when the young one is full it becomes the old one, and what was the old one
        # is forgotten. That bounds the memory without bookkeeping at every hit.
        self._half = cache_entries // 2
        self._young: dict[bytes, float] = {}
        self._old: dict[bytes, float] = {}

    def __len__(self) -> int:
        """Scores remembered."""
        return len(self._young) + len(self._old)

    def learn_templates(self, templates: Templates) -> None:
        """See `WindowDetector.learn_templates`."""
        self.detector.learn_templates(templates)

    def score(self, windows: Windows) -> NDArray[np.float32]:
        """float32 (n,): what the detector's `score` gives, up to rounding."""
        keys = content_keys(windows)
        scores = np.array(list(map(self._young.get, keys)), np.float32)  # None becomes NaN
        missing = np.flatnonzero(np.isnan(scores))
        if len(missing) and self._old:
            missing = self._from_old(keys, missing, scores)
        self.hits += len(keys) - len(missing)
        if len(missing):
            self._compute(windows, keys, missing, scores)
        return scores

    def _from_old(
        self, keys: list[bytes], missing: NDArray[np.int64], scores: NDArray[np.float32]
    ) -> NDArray[np.int64]:
        found = np.array([self._old.get(keys[i]) for i in missing.tolist()], np.float32)
        scores[missing] = found
        known = ~np.isnan(found)
        self._remember([keys[i] for i in missing[known].tolist()], found[known])
        return missing[~known]

    def _compute(
        self, windows: Windows, keys: list[bytes], missing: NDArray[np.int64], scores: NDArray[np.float32]
    ) -> None:
        first, inverse = distinct([keys[i] for i in missing.tolist()])
        asked = windows.take(missing[first])
        known = self.detector.knows(asked.ids)
        computed = self.detector.score(asked)
        scores[missing] = computed[inverse]
        self.misses += len(first)
        self.hits += len(missing) - len(first)
        strange = np.zeros(len(asked.ids) + 1, np.int64)
        np.cumsum(~known, out=strange[1:])
        settled = strange[asked.offsets[1:]] == strange[asked.offsets[:-1]]
        self._remember([keys[i] for i in missing[first[settled]].tolist()], computed[settled])

    def _remember(self, keys: list[bytes], scores: NDArray[np.float32]) -> None:
        values = scores.tolist()
        for start in range(0, len(keys) if self._half else 0, self._half or 1):
            if len(self._young) + min(self._half, len(keys) - start) > self._half:
                self._old, self._young = self._young, {}
            self._young.update(zip(keys[start : start + self._half], values[start : start + self._half], strict=True))
