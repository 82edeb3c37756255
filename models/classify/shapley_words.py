"""What each word of a line adds to the probability of a class: Shapley values, estimated by sampling.

Paper: Štrumbelj and Kononenko, "An Efficient Explanation of Individual Classifications using Game
Theory", 2010, https://www.jmlr.org/papers/v11/strumbelj10a.html; computed by Captum, https://captum.ai.

Words are inserted into an empty line in random order, and each is credited with the change of the
probability. The credits add up to the difference between the line and the empty one. Words are the
unit, independently of the encoder's tokens, and only probabilities of the classifier are needed, so
every text encoder is explained in the same way.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from foundation.extras import require
from models.classify.base import Attribution, Lines

Probabilities = Callable[[Lines], NDArray[np.float32]]

SHOWN = 10
"""Reasons given for a line."""
_MOST_PARTS = 24
"""Parts that come by themselves; of more words, neighbours come together and share their credit."""
_NOTHING = 1e-6
"""What a part that the classifier does not read seems to add, by rounding."""
_CLASSIFICATIONS = 120
"""What an explanation costs: about a second of a small BERT on one core."""
_CHARACTERS = 12_000
"""What it reads at most, so that a long line costs no more: it is taken apart less finely."""
_WORD = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class _Part:
    """Something that a line can be had without: its level, its component, or words of its text."""

    column: str
    words: tuple[str, ...]
    names: tuple[str, ...]


def word_reasons(probabilities: Probabilities, line: Lines) -> tuple[Attribution, ...]:
    """The parts of one line that weigh most for or against its class, the weightiest first.

    Args:
        probabilities: As of `LineClassifier`.
        line: A single one.

    Returns:
        At most `SHOWN` reasons; `value` is probability. None for a line without any text.
    """
    length = len(line.templates[0]) + len(line.messages[0])
    budget = min(_CLASSIFICATIONS, max(_CHARACTERS // max(length, 1), 8))
    parts = _parts(line, min(_MOST_PARTS, budget // 2))
    if not parts:
        return ()
    label = int(probabilities(line)[0].argmax())
    credits = _credits(lambda kept: probabilities(_with(line, parts, kept))[:, label], len(parts), budget)
    reasons = [
        Attribution(name, credit / len(part.names))
        for part, credit in zip(parts, credits.tolist(), strict=True)
        for name in part.names
    ]
    ordered = sorted(reasons, key=lambda r: -abs(r.value))[:SHOWN]
    return (ordered[0], *(r for r in ordered[1:] if abs(r.value) > _NOTHING))


def _credits(score: Callable[[NDArray[np.bool_]], NDArray[np.float32]], count: int, budget: int) -> NDArray[np.float64]:
    """What each of `count` parts adds to the score of rows that say which parts are there; float64 (count,)."""
    require("explain", "the explanation of classes")
    from captum.attr import ShapleyValueSampling  # type: ignore[import-untyped]

    def scored(kept: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(score(kept.numpy() > 0).astype(np.float64))

    whole = torch.ones(1, count, dtype=torch.float64)
    with torch.random.fork_rng(devices=[]):
        # The same orders for every line: an explanation does not depend on earlier ones.
        torch.manual_seed(0)
        orders = max(budget // count, 1)
        found = ShapleyValueSampling(scored).attribute(whole, n_samples=orders, perturbations_per_eval=count)
    return np.asarray(found[0].numpy(), np.float64)


def _parts(line: Lines, most: int) -> list[_Part]:
    single = (("levels", "level"), ("components", "component"), ("formats", "format"))
    parts = [
        _Part(column, (value,), (f"{word} {value}",)) for column, word in single if (value := getattr(line, column)[0])
    ]
    words = list(dict.fromkeys(_WORD.findall(line.messages[0]) or _WORD.findall(line.templates[0])))
    for some in np.array_split(np.arange(len(words)), max(min(len(words), most), 1)):
        if len(some):
            group = tuple(words[i] for i in some.tolist())
            parts.append(_Part("messages", group, tuple(f"word '{w}'" for w in group)))
    return parts


def _with(line: Lines, parts: list[_Part], kept: NDArray[np.bool_]) -> Lines:
    """The line once for every row of `kept` (n, parts), with those parts alone."""
    rows = []
    for row in kept.tolist():
        lost = {p.column: "" for p, stays in zip(parts, row, strict=True) if not stays and p.column != "messages"}
        without = {
            w for p, stays in zip(parts, row, strict=True) if not stays and p.column == "messages" for w in p.words
        }
        texts = [_without(column[0], without) for column in (line.templates, line.messages)]
        others = [lost.get(c, getattr(line, c)[0]) for c in ("levels", "formats", "components")]
        rows.append((*texts, *others))
    return Lines(*(tuple(column) for column in zip(*rows, strict=True)))


def _without(text: str, words: set[str]) -> str:
    return " ".join(w for w in _WORD.findall(text) if w not in words)
