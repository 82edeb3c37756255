import json
from types import SimpleNamespace

import numpy as np
import pytest

from engine.steps.calibrate import StreamThreshold
from models.thresholds.registry import fit_threshold

RNG = np.random.default_rng(2)
FITTED = fit_threshold("percentile", RNG.gamma(2, 0.1, 3000).astype(np.float32))
FLOOD = RNG.normal(2, 0.05, 3000).astype(np.float32)
HOUR_NS = 3_600_000_000_000


def model(version=1, fitted=FITTED, shadow=()):
    return SimpleNamespace(version=version, fitted=fitted, shadow_scores=list(shadow))


@pytest.fixture
def batch(scored, window):
    def make(scores, version=1, hour=0):
        windows = [window(score=float(s), time_ns=hour * HOUR_NS + i) for i, s in enumerate(scores)]
        return scored(*windows, threshold=FITTED.value, version=version)

    return make


def test_a_flood_of_new_behaviour_raises_the_threshold(batch):
    stream = StreamThreshold(True, None, model)
    thresholds = [stream.apply(batch(part)).threshold for part in np.array_split(FLOOD, 10)]
    assert (FLOOD >= FITTED.value).all()
    assert (FLOOD >= thresholds[-1]).mean() < 0.03


def test_without_calibration_the_batch_keeps_its_threshold(batch):
    stream = StreamThreshold(False, None, model)
    assert {stream.apply(batch(part)).threshold for part in np.array_split(FLOOD, 10)} == {FITTED.value}


def test_a_new_version_starts_from_the_scores_of_its_shadow_run(batch):
    serving = model()
    stream = StreamThreshold(True, None, lambda: serving)
    stream.apply(batch(FLOOD[:400]))
    serving = model(version=2, shadow=np.array_split(FLOOD, 6))
    assert (FLOOD >= stream.apply(batch(FLOOD[:5], version=2)).threshold).mean() < 0.03
    serving = model(version=3)
    assert stream.apply(batch(FLOOD[:5], version=3)).threshold == FITTED.value


def test_a_batch_scored_before_a_swap_keeps_its_threshold(batch):
    stream = StreamThreshold(True, None, lambda: model(version=2))
    assert stream.apply(batch(FLOOD, version=1)).threshold == FITTED.value


def test_a_restart_continues_with_the_same_threshold(batch):
    stream = StreamThreshold(True, 5.0, model)
    for hour, part in enumerate(np.array_split(FLOOD, 10)):
        stream.alerted(stream.apply(batch(part, hour=hour)), 3)
    restored = StreamThreshold(True, 5.0, model, json.loads(json.dumps(stream.state())))
    later = batch(FLOOD[:50], hour=11)
    assert restored.apply(later).threshold == stream.apply(later).threshold


def test_a_budget_of_alerts_raises_the_threshold(batch):
    stream = StreamThreshold(False, 1.0, model)
    for hour in range(48):
        scored = stream.apply(batch(RNG.gamma(2, 1, 60), hour=hour))
        stream.alerted(scored, int((scored.score >= scored.threshold).sum()))
    assert stream.apply(batch([1.0])).threshold > 5
