from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.classify.base import CLASSES, LineClassifier, Lines
from models.classify.scoring import LineScorer


class ByLength(LineClassifier):
    """Says how long a message is; counts what it is asked."""

    name = "by_length"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def probabilities(self, lines):
        self.asked += lines.messages
        found = np.zeros((len(lines), len(CLASSES)), np.float32)
        found[np.arange(len(lines)), [len(m) % len(CLASSES) for m in lines.messages]] = 1
        return found

    def _fit(self, *_: Any):
        raise NotImplementedError

    explain = weights = load_weights = settings = _fit


def test_a_line_is_classified_once():
    scorer = LineScorer(ByLength())
    lines = Lines.of(["a", "bb", "a", "a"])
    first = scorer.probabilities(lines)
    assert np.array_equal(scorer.probabilities(lines), first)
    assert scorer.classifier.asked == ["a", "bb"]
    assert (scorer.misses, scorer.hits) == (2, 6)
    assert first.argmax(1).tolist() == [1, 2, 1, 1]


def test_every_column_counts():
    scorer = LineScorer(ByLength())
    for columns in ({}, {"levels": ["warn"]}, {"formats": ["syslog"]}, {"components": ["sshd"]}, {"templates": ["t"]}):
        scorer.probabilities(Lines.of(["a"], **columns))
    assert scorer.misses == 5


def test_memory_is_bounded_in_entries_and_characters():
    scorer = LineScorer(ByLength(), cache_entries=20, cache_chars=10_000)
    scorer.probabilities(Lines.of([f"{i:03}" for i in range(500)]))
    assert len(scorer) <= 20
    scorer.probabilities(Lines.of([f"{i:01000}" for i in range(50)]))
    assert len(scorer) <= 10
    scorer.probabilities(Lines.of(["x"]))
    misses = scorer.misses
    scorer.probabilities(Lines.of(["x"]))
    assert scorer.misses == misses


def test_no_memory_at_all():
    scorer = LineScorer(ByLength(), cache_entries=0)
    scorer.probabilities(Lines.of(["a", "a"]))
    scorer.probabilities(Lines.of(["a"]))
    assert (scorer.misses, scorer.hits, len(scorer)) == (2, 1, 0)


@settings(deadline=None)
@given(st.lists(st.lists(st.text("ab", max_size=6), max_size=8), max_size=8), st.integers(0, 9))
def test_the_answers_are_the_classifiers(batches, entries):
    scorer, plain = LineScorer(ByLength(), cache_entries=entries), ByLength()
    for batch in batches:
        lines = Lines.of(batch)
        assert np.array_equal(scorer.probabilities(lines), plain.probabilities(lines))
    assert scorer.hits + scorer.misses == sum(map(len, batches))
    assert len(scorer) <= entries
