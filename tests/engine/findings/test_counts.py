"""Counts in blocks: which of the two explanations of a count holds."""

import numpy as np

from engine.findings.counts import CountHistory

PAST = 400
LINES = 50


def found(history, thing, counts, span_s):
    """The greatest surprise of a thing that comes too often, in the windows that end with a block."""
    unusual = [u for u in history.observe(np.array(counts, np.float64), span_s)]
    surprises = [float(u.surprise[i]) for u in unusual for i in np.flatnonzero((u.index == thing) & u.more)]
    return max(surprises, default=0.0)


def span_of(block):
    """Seconds of a block of a log that is four times as busy by day as by night."""
    return 250.0 + 150.0 * np.sin(block / 20)


def history_of(rng, count):
    """A log of two templates; `count` gives how often the first occurs in a block of that span."""
    history = CountHistory()
    for block in range(PAST):
        some = rng.poisson(count(span_of(block)))
        list(history.observe(np.array([some, LINES - some], np.float64), span_of(block)))
    return history


def test_slow_hours_do_not_explain_an_excess_of_what_follows_the_traffic():
    history = history_of(np.random.default_rng(0), lambda span_s: 5.0)
    night_s = 400.0
    assert found(history, 0, [17, LINES - 17], night_s) > 8.0


def test_the_clock_explains_what_follows_the_clock():
    history = history_of(np.random.default_rng(1), lambda span_s: span_s / 50)
    # Twice as many as the share of its lines, and what the seconds of the block let expect.
    assert found(history, 0, [16, LINES - 16], 800.0) < 3.0
    assert found(history, 0, [24, LINES - 24], 200.0) > 8.0


def test_either_explanation_is_enough_where_the_past_does_not_decide():
    history = CountHistory()
    rng = np.random.default_rng(2)
    for _ in range(PAST):
        some = rng.poisson(5.0)
        list(history.observe(np.array([some, LINES - some], np.float64), 100.0))
    assert found(history, 0, [17, LINES - 17], 300.0) < 3.0
