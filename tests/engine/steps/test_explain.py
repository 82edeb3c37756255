import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.serving.hot_swap import ServingModel
from engine.serving.shadow import ModelFollower
from engine.steps.explain import Explainer, top_lines
from models.base import Explanation, ModelError, Windows
from models.detectors.event_counts import EventCounts, EventCountsSettings
from models.training.scoring import WindowScorer


@pytest.fixture
def serving():
    """A follower with version 1 of a trained detector in service, and the detector."""
    detector = EventCounts(EventCountsSettings())
    detector.fit(Windows.of([[1, 2, 3], [1, 2, 2, 3], [1, 3]]), None, {1: "a", 2: "b", 3: "c"})

    def load(version):
        return ServingModel("model", version, WindowScorer(detector, version, 0.5), {})

    follower = ModelFollower(lambda: 1, load, lambda *_: None)
    assert follower.look()
    return follower, detector


def test_base_and_contributions_add_up_to_the_score(serving, scored, window):
    follower, detector = serving
    batch = scored(window(rows=(1, 2, 3), closed=True), window(rows=(1, 9, 3, 9), closed=True))
    explanation = Explainer(follower)(batch, np.array([1]))
    scores = detector.score(batch.batch.windows)
    assert explanation.contributions.shape == (4,)
    assert explanation.contributions.sum() + explanation.base[0] == pytest.approx(scores[1], abs=1e-5)


def test_another_version_cannot_tell_the_reasons(serving, scored, window):
    follower, _ = serving
    assert Explainer(follower)(scored(window(), version=2), np.array([0])) is None


@pytest.mark.parametrize("fault", [ModelError("no reasons"), ModuleNotFoundError("No module named 'captum'")])
def test_what_cannot_be_explained_is_reported_once(serving, scored, window, monkeypatch, caplog, fault):
    follower, detector = serving

    def fail(_):
        raise fault

    monkeypatch.setattr(detector, "explain", fail)
    explainer = Explainer(follower)
    with caplog.at_level(logging.WARNING):
        assert [explainer(scored(window()), np.array([0])) for _ in range(3)] == [None] * 3
    (record,) = caplog.records
    assert record.getMessage() == f"alerts go out without an explanation: model version 1: {fault}"


def test_contributions_that_are_not_finite_are_left_out(serving, scored, window, monkeypatch, caplog):
    follower, detector = serving
    odd = Explanation(np.array([np.nan, 0], np.float32), np.zeros(1, np.float32))
    monkeypatch.setattr(detector, "explain", lambda _: odd)
    assert Explainer(follower)(scored(window()), np.array([0])) is None
    assert "are not finite" in caplog.text


@given(
    contributions=st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=12),
    limit=st.integers(1, 15),
    held=st.integers(0, 12),
)
def test_the_largest_come_first_and_nothing_gets_lost(contributions, limit, held):
    values = np.array(contributions, np.float32)
    raw = [b"%d" % i for i in range(len(values))][max(0, len(values) - held) :]
    found = top_lines(values, 0.5, list(range(len(values))), raw, limit, text=lambda t: f"t{t}", quote=bytes.decode)
    listed = [row["contribution"] for row in found["lines"]]
    assert listed == sorted(values.tolist(), reverse=True)[:limit]
    assert sum(listed) + found["rest"] == pytest.approx(float(values.sum(dtype=np.float64)), abs=1e-5)
    for row in found["lines"]:
        assert row["text"] == f"t{row['line']}"
        assert row["contribution"] == values[row["line"]]
        assert row["raw"] == (str(row["line"]) if row["line"] >= len(values) - held else None)
