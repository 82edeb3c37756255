import numpy as np
import pytest

from bench.scenarios.drift_overhead import SPENT
from bench.scenarios.drift_quality import (
    CALM,
    FAMILY,
    Scored,
    _delay,
    _draw,
    _figures,
    _more_often,
    _watch,
    _with_family,
)
from engine.drift.monitor import DriftMonitor
from engine.drift.settings import DriftSettings
from models.base import Windows, template_id

TEXTS = ("open file <*>", "open <*> <*>", "read", "close", "verified <NUM>")
OPEN, WIDE, READ, CLOSE, VERIFIED = map(template_id, TEXTS)


class Scorer:
    """Every session gets its length as score."""

    threshold = 100.0

    def score(self, windows):
        return windows.lengths().astype(np.float32)


@pytest.fixture
def texts():
    return {template_id(text): text for text in (*TEXTS, *FAMILY)}


@pytest.fixture
def calm():
    """A tenth of the sessions is verified; a tenth holds a template that a wider one has replaced."""
    rows = [(OPEN if i % 10 == 1 else WIDE, READ, CLOSE, *((VERIFIED,) if i % 10 == 0 else ())) for i in range(1_000)]
    windows = Windows.of(rows)
    return Scored(windows, Scorer().score(windows))


def test_the_family_is_in_its_share_of_the_sessions_and_in_order(calm):
    change = _with_family(calm, Scorer(), 0.2)
    ids = [template_id(text) for text in FAMILY]
    rows = [change.after.windows.row(i).tolist() for i in range(1_000)]
    changed = [row for row in rows if ids[0] in row]
    assert len(changed) == 200
    assert all([t for t in row if t in ids] == ids for row in changed)
    assert change.after.scores.sum() == calm.scores.sum() + 3 * 200


def test_only_a_template_that_can_still_come_is_made_more_frequent(calm, texts):
    (change,) = _more_often(calm, texts, 3.0)
    stream = _draw(calm, CALM, 0, change)
    holds = np.array([VERIFIED in stream.windows.row(i) for i in range(2 * CALM)])
    assert holds[:CALM].mean() == pytest.approx(0.1, abs=0.01)
    assert holds[CALM:].mean() == pytest.approx(3 / 12, abs=0.01)


def test_a_change_is_found_and_a_calm_stream_is_left_alone(calm, texts):
    def monitor():
        return DriftMonitor(DriftSettings(detectors=("novelty", "jensen_shannon")), texts)

    assert _watch(monitor(), Scorer(), _draw(calm, 20_000, 0, None)) == []
    for change in (_with_family(calm, Scorer(), 0.2), *_more_often(calm, texts, 3.0)):
        assert 0 < _delay(monitor(), Scorer(), calm, change, 0) < 2_000
    (twice,) = _more_often(calm, texts, 1.0)  # no change at all
    assert _delay(monitor(), Scorer(), calm, twice, 0) == CALM


def test_figures_tell_the_worst():
    found = _figures([0, 2], {"new_family": [300.0, 500.0], "rate_1": [900.0, 700.0], "rate_4": [float(CALM), 600.0]})
    assert found["false_triggers"] == 2
    assert found["new_family.detection_delay_sessions"] == 500
    assert found["detection_delay_sessions"] == CALM
    assert found["rate.found_share"] == 0.75


def test_what_the_step_spent_is_read_from_the_metrics():
    page = b"""# HELP x
driftline_lines_total 12.0
process_cpu_seconds_total 3.5
driftline_batch_seconds_sum{step="drift"} 0.25
driftline_batch_seconds_sum{step="score"} 9.0
driftline_snapshot_seconds_sum{step="drift"} 0.5
"""
    assert [match.groups() for match in SPENT.finditer(page)] == [
        (None, None, None, b"12.0"), (None, None, b"3.5", None), (b"drift", b"0.25", None, None),
        (b"score", b"9.0", None, None), (b"drift", b"0.5", None, None),
    ]  # fmt: skip
