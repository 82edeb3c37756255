"""Windows and alerts by minute and template, with a sketch of the scores."""

import numpy as np
import pytest

from engine.parsing.minute_counts import ALL, MINUTE_NS
from engine.records import DecidedWindows, ScoredWindows, WindowBatch
from engine.steps.rollup import ALERTS, ANOMALOUS, FIRST_BUCKET, WINDOW_COLUMNS, WINDOWS, WindowRollup
from foundation.score_buckets import quantile
from models.base import Windows

NOW = 30_000_000


def decided(*windows):
    """Windows of (partition, minute, templates, score); those from 0.5 on are anomalous."""
    partitions, minutes, ids, scores = zip(*windows, strict=True)
    n, zeros = len(windows), np.zeros(len(windows), np.int64)
    last_ns = np.array(minutes) * MINUTE_NS
    batch = WindowBatch(
        Windows.of(list(ids)), partitions, zeros, ("",) * n, zeros, zeros, last_ns, last_ns, zeros, zeros
    )
    score = np.array(scores, np.float32)
    return DecidedWindows(ScoredWindows(batch, score, "floor", 1, 0.5), score >= 0.5, ())


def alert(source, minute, *ids):
    text = str(np.datetime64(minute * 60, "s"))
    return {"source": source, "last_time": f"{text}.000Z", "templates": [{"id": f"{i:016x}"} for i in ids]}


def table(rows):
    return {(name, row.minute, row.template): row.counts for name, row in rows}


def test_windows_anomalous_windows_and_scores_are_counted_by_template():
    rollup = WindowRollup(5)
    rollup.add_windows("0", decided(
        ("a", NOW, [3, 4, 3], 0.9), ("a", NOW, [3], 0.1), ("b", NOW + 1, [4], 0.2), ("a", NOW + 1, [], 0.5)
    ))  # fmt: skip
    found = table(rollup.changed())
    shown = {key: counts[:FIRST_BUCKET] for key, counts in found.items()}
    a, b = "a (windows 0)", "b (windows 0)"
    assert shown == {
        (a, NOW, ALL): (2, 1, 0), (a, NOW, 3): (2, 1, 0), (a, NOW, 4): (1, 1, 0), (a, NOW + 1, ALL): (1, 1, 0),
        (b, NOW + 1, ALL): (1, 0, 0), (b, NOW + 1, 4): (1, 0, 0),
    }  # fmt: skip
    scores = dict(enumerate(found[a, NOW, 3][FIRST_BUCKET:]))
    assert sum(scores.values()) == 2
    assert quantile(scores, 0) == pytest.approx(0.1, rel=0.13)
    assert quantile(scores, 1) == pytest.approx(0.9, rel=0.13)
    assert list(rollup.changed()) == []


def test_alerts_are_counted_for_their_templates_and_continue_after_a_crash():
    rollup = WindowRollup(5)
    high = (1 << 64) - 2
    rollup.add_alert("1", alert("a", NOW, 3, high))
    again = WindowRollup(5, rollup.snapshot())
    again.add_alert("1", alert("a", NOW, 3))
    again.add_alert("1", alert("a", NOW + 9, 3))
    (name,) = {name for name, _ in rollup.changed()}
    assert name == "a (alerts 1)"
    found = {(key[1], key[2]): counts for key, counts in table(again.closed()).items()}
    assert {key: counts[ALERTS] for key, counts in found.items()} == {
        (NOW, ALL): 2, (NOW, 3): 2, (NOW, -2): 1,
    }  # fmt: skip
    assert {counts[WINDOWS] + counts[ANOMALOUS] for counts in found.values()} == {0}
    assert {len(counts) for counts in found.values()} == {WINDOW_COLUMNS}
