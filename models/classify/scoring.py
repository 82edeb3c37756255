"""Classification in service: equal lines are classified once, and remembered for this model version."""

import numpy as np
from numpy.typing import NDArray

from models.classify.base import CLASSES, Attribution, Key, LineClassifier, Lines
from models.text.ragged import distinct


class LineScorer:
    """A version of a classifier with a bounded cache of its results.

    Lines are remembered by all their content (`Lines.keys`). The memory belongs to this scorer, hence
    to one version of the weights.

    Attributes:
        classifier: Classifies what is not remembered.
        version: In the model store; 0 for one that was not loaded from it.
        hits: Lines that needed no classification: remembered, or equal to another of the batch.
        misses: Lines that the classifier was asked about.
    """

    def __init__(
        self,
        classifier: LineClassifier,
        version: int = 0,
        *,
        cache_entries: int = 200_000,
        cache_chars: int = 50_000_000,
    ) -> None:
        """Remembers nothing yet.

        Args:
            classifier: Fitted or loaded.
            version: See the class.
            cache_entries: Most lines remembered; 0 remembers none.
            cache_chars: Most characters that the remembered lines have together.
        """
        self.classifier = classifier
        self.version = version
        self.hits = 0
        self.misses = 0
        # Two generations, as in `training.scoring`: a full young one becomes the old one, and the old one is forgotten.
        self._entries = cache_entries // 2
        self._chars = cache_chars // 2
        self._young = _Generation()
        self._old = _Generation()

    def __len__(self) -> int:
        """Lines remembered."""
        return len(self._young.rows) + len(self._old.rows)

    def probabilities(self, lines: Lines) -> NDArray[np.float32]:
        """float32 (n, len(CLASSES)): what the classifier gives, up to rounding."""
        keys = lines.keys()
        found, missing = self._young.look_up(keys)
        if len(missing) and self._old.rows:
            asked = [keys[i] for i in missing.tolist()]
            older, still = self._old.look_up(asked)
            found[missing] = older
            known = np.setdiff1d(np.arange(len(asked)), still)
            first, _ = distinct([asked[i] for i in known.tolist()])
            self._remember([asked[i] for i in known[first].tolist()], older[known[first]])
            missing = missing[still]
        self.hits += len(keys) - len(missing)
        if len(missing):
            asked = [keys[i] for i in missing.tolist()]
            first, inverse = distinct(asked)
            computed = self.classifier.probabilities(lines.take(missing[first]))
            found[missing] = computed[inverse]
            self.misses += len(first)
            self.hits += len(missing) - len(first)
            self._remember([asked[i] for i in first.tolist()], computed)
        return found

    def explain(self, lines: Lines) -> list[tuple[Attribution, ...]]:
        """See `LineClassifier.explain`; not remembered."""
        return self.classifier.explain(lines)

    def _remember(self, keys: list[Key], probabilities: NDArray[np.float32]) -> None:
        for key, row in zip(keys, probabilities, strict=True):
            size = sum(map(len, key))
            if not self._entries or size > self._chars:
                continue
            if len(self._young.rows) >= self._entries or self._young.chars + size > self._chars:
                self._old, self._young = self._young, _Generation()
            self._young.add(key, row, size)


class _Generation:
    """Rows by key, in one array so that a batch is answered by one gather."""

    def __init__(self) -> None:
        self.rows: dict[Key, int] = {}
        self.chars = 0
        self._values = np.zeros((256, len(CLASSES)), np.float32)

    def look_up(self, keys: list[Key]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Values (n, classes), and which keys are not here, whose values mean nothing."""
        at = np.array([self.rows.get(k, -1) for k in keys], np.int64)
        return self._values[at], np.flatnonzero(at < 0)

    def add(self, key: Key, row: NDArray[np.float32], size: int) -> None:
        if len(self.rows) == len(self._values):
            self._values = np.concatenate([self._values, np.zeros_like(self._values)])
        self._values[len(self.rows)] = row
        self.rows[key] = len(self.rows)
        self.chars += size
