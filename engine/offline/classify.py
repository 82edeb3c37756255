"""Classified: a whole log by line classifier, and what its lines are counted as."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.offline.export import COLUMNS, PROBABILITY
from engine.steps.classify import lines_of
from engine.steps.parse import Parsed, Parser
from models.base import ModelStoreError
from models.classify.base import CLASSES, NORMAL, Attribution, Key, Lines
from models.classify.registry import build
from models.classify.scoring import LineScorer
from models.storage.store import ModelStore
from models.text.embeddings import embedding_cache

_SHARES = tuple(PROBABILITY + name for name in CLASSES)
CLASS_COLUMNS = (*COLUMNS[:-1], "class", *_SHARES, "reasons", COLUMNS[-1])
"""Fields of a classified record: those of a parsed one, the class, the probability of every class, and why."""

BUILT_IN = "rules"
"""The classifier that is there without a store: it need not be trained."""

_EXPLAINED = 20_000
"""Distinct lines whose reasons are remembered."""


def load_scorer(store: Path | str, name: str, version: int | None = None) -> LineScorer:
    """The line classifier of that name in the store; `BUILT_IN` is taken as it comes where the store has none.

    Raises:
        ModelStoreError: it does not exist, or it cannot be used.
    """
    opened = ModelStore(store)
    if name == BUILT_IN and version is None and name not in opened.names():
        return LineScorer(build(BUILT_IN))
    if version is None and name not in opened.names():
        known = ", ".join(opened.names()) or "none"
        raise ModelStoreError(
            f"{store} holds no line classifier '{name}'; it holds {known}. {BUILT_IN} needs no training"
        )
    stored = opened.load_classifier(name, version, cache=embedding_cache())
    stored.classifier.prepare()
    return LineScorer(stored.classifier, stored.card.version)


class LogClassifier:
    """Classifies batches of one log; a `engine.offline.export.Judge`.

    Attributes:
        classes: int64 (len(CLASSES),): records by class.
        formats: int64 (formats, len(CLASSES)): records by format, in the parser's order, and class.
    """

    def __init__(self, parser: Parser, scorer: LineScorer, *, explain: bool = False) -> None:
        """Takes the parser of the log, a scorer, and whether every line's reasons are wanted."""
        self._scorer = scorer
        self._explain = explain
        self._reasons: dict[Key, str] = {}
        self.formats: NDArray[np.int64] = np.zeros((len(parser.formats), len(CLASSES)), np.int64)

    @property
    def classes(self) -> NDArray[np.int64]:
        """int64 (len(CLASSES),): records by class."""
        found: NDArray[np.int64] = self.formats.sum(0)
        return found

    @property
    def anomaly_rate(self) -> float:
        """Share of the records that are anything but normal; 0 of none."""
        found = self.classes
        return float(1 - found[NORMAL] / found.sum()) if found.sum() else 0.0

    def __call__(self, parsed: Parsed, templates: Mapping[int, str]) -> Sequence[Mapping[str, Any]]:
        """Counts the good lines of a batch, and returns their new fields for `CLASS_COLUMNS`."""
        lines, of = lines_of(parsed, templates)
        if not len(lines):
            return []
        found = self._scorer.probabilities(lines)
        best = found.argmax(1)
        np.add.at(self.formats, (parsed.format(), best[of]), 1)
        reasons = self._reasons_of(lines) if self._explain else [""] * len(lines)
        shares = np.round(found.astype(np.float64), 6).tolist()
        rows = [
            {"class": CLASSES[kind], **dict(zip(_SHARES, row, strict=True)), "reasons": why}
            for kind, row, why in zip(best.tolist(), shares, reasons, strict=True)
        ]
        return [rows[i] for i in of.tolist()]

    def _reasons_of(self, lines: Lines) -> list[str]:
        """The reasons for each line's class as text; computed once for each distinct line."""
        keys = lines.keys()
        if len(self._reasons) > _EXPLAINED:
            self._reasons.clear()
        new = [i for i, key in enumerate(keys) if key not in self._reasons]
        if new:
            explained = self._scorer.explain(lines.take(np.array(new)))
            self._reasons.update((keys[i], in_words(why)) for i, why in zip(new, explained, strict=True))
        return [self._reasons[key] for key in keys]


def in_words(reasons: Sequence[Attribution]) -> str:
    """`word 'refused' +0.31; level error +0.12`."""
    return "; ".join(f"{reason.what} {reason.value:+.3g}" for reason in reasons)
