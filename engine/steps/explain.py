"""The explanation in an alert: the lines of its window that add most to the score."""

import logging
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.records import ScoredWindows
from engine.serving.hot_swap import Follower, ServingModel
from foundation.documents.alert import ScoreExplanation
from models.base import Explanation, ModelError

log = logging.getLogger(__name__)

Explain = Callable[[ScoredWindows, NDArray[np.int64]], Explanation | None]
"""Explains the windows at an index; None where it cannot."""


class Explainer:
    """Explains scores with the model in service; an `Explain`."""

    def __init__(self, models: Follower[ServingModel]) -> None:
        self._models = models
        self._said: set[str] = set()

    def __call__(self, scored: ScoredWindows, index: NDArray[np.int64]) -> Explanation | None:
        """None where another version is in service by now, whose reasons would not be those of the score.

        An explanation that fails is reported and left out; the alert is sent without it.
        """
        model = self._models.get()
        if (model.name, model.version) != (scored.model, scored.version):
            return None
        try:
            explanation = model.scorer.detector.explain(scored.batch.windows.take(index))
        except (ModelError, ImportError) as error:
            self._report(f"{model.name} version {model.version}: {error}")
            return None
        if not (np.isfinite(explanation.contributions).all() and np.isfinite(explanation.base).all()):
            self._report(f"{model.name} version {model.version}: the contributions are not finite")
            return None
        return explanation

    def _report(self, sentence: str) -> None:
        """Report each message once, since every alert would repeat it."""
        if sentence not in self._said:
            self._said.add(sentence)
            log.warning("alerts go out without an explanation: %s", sentence)


def top_lines(
    contributions: NDArray[np.float32],
    base: float,
    templates: Sequence[int],
    raw: Sequence[bytes],
    limit: int,
    *,
    text: Callable[[int], str],
    quote: Callable[[bytes], str],
) -> ScoreExplanation:
    """The part of an alert's document that explains its score.

    Args:
        contributions: float32 (lines,): of the window's lines.
        base: The part of the score that is not attributed to a line.
        templates: Template id of each line.
        raw: The last raw lines of the window, all of them or fewer.
        limit: Lines listed at most.
        text: The text of a template, as it may be shown.
        quote: A raw line, as it may be shown.

    Returns:
        `base`, the `lines` that add most with the largest first (of equals the earlier), and `rest`:
        the sum of the lines that are not listed.
    """
    order = np.argsort(-contributions, kind="stable")[:limit].tolist()
    missing = len(contributions) - len(raw)
    return {
        "base": base,
        "lines": [
            {
                "line": i,
                "text": text(templates[i]),
                "raw": quote(raw[i - missing]) if i >= missing else None,
                "contribution": float(contributions[i]),
            }
            for i in order
        ],
        "rest": float(contributions.sum(dtype=np.float64) - contributions[order].sum(dtype=np.float64)),
    }
