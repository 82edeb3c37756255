import json
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.steps.calibrate import StreamThreshold
from engine.steps.decide import Decider, DecideSettings
from models.thresholds.registry import fit_threshold

RNG = np.random.default_rng(2)
FITTED = fit_threshold("percentile", RNG.gamma(2, 0.1, 3000).astype(np.float32))
FLOOD = RNG.normal(2, 0.05, 3000).astype(np.float32)
USUAL = RNG.gamma(2, 0.1, 300).astype(np.float32)


def model(version=1, fitted=FITTED, shadow=()):
    return SimpleNamespace(version=version, fitted=fitted, shadow_scores=list(shadow))


@pytest.fixture
def batch(scored, window):
    def make(scores, version=1):
        windows = [window(score=float(s), key=str(i % 5)) for i, s in enumerate(scores)]
        return scored(*windows, threshold=FITTED.value, version=version)

    return make


def test_a_flood_of_new_behaviour_raises_the_threshold(batch):
    stream = StreamThreshold(True, model)
    thresholds = [stream.thresholds(batch(part)) for part in np.array_split(FLOOD, 10)]
    assert (FLOOD >= FITTED.value).all()
    assert (FLOOD >= thresholds[-1][-1]).mean() < 0.03


def test_without_calibration_the_batch_keeps_its_threshold(batch):
    stream = StreamThreshold(False, model)
    assert {t for part in np.array_split(FLOOD, 10) for t in stream.thresholds(batch(part))} == {FITTED.value}


def test_a_new_version_starts_from_the_scores_of_its_shadow_run(batch):
    serving = model()
    stream = StreamThreshold(True, lambda: serving)
    stream.thresholds(batch(FLOOD[:400]))
    serving = model(version=2, shadow=np.array_split(FLOOD, 6))
    assert (FLOOD >= stream.thresholds(batch(FLOOD[:5], version=2))[0]).mean() < 0.03
    serving = model(version=3)
    assert stream.thresholds(batch(FLOOD[:5], version=3))[0] == FITTED.value


def test_a_batch_scored_before_a_swap_keeps_its_threshold(batch):
    stream = StreamThreshold(True, lambda: model(version=2))
    assert (stream.thresholds(batch(FLOOD, version=1)) == FITTED.value).all()


@settings(max_examples=20)
@given(cuts=st.lists(st.integers(0, 1200), max_size=8), restarts=st.booleans())
def test_decisions_do_not_depend_on_batches_or_restarts(cuts, restarts, scored, window):
    """A stream with a flood in it, cut anywhere: the same windows are alerted on at the same thresholds."""
    windows = [window(score=float(s), key=str(i % 5)) for i, s in enumerate([*USUAL, *FLOOD[:600], *USUAL])]

    def decide(edges):
        found, state, snapshot = [], None, None
        for start, end in pairwise(edges):
            if restarts or state is None:
                stream = StreamThreshold(True, model, state)
                decider = Decider(DecideSettings(), {}, sessions_end=False, snapshot=snapshot)
            part = scored(*windows[start:end], threshold=FITTED.value)
            decisions = decider.decide(part, stream.thresholds(part))
            found += [(start + d.index, d.threshold, d.repeats) for d in decisions]
            state, snapshot = json.loads(json.dumps(stream.state())), decider.snapshot()
        return found

    whole = decide([0, len(windows)])
    assert len({threshold for _, threshold, _ in whole}) > 1
    assert decide([0, *sorted(cuts), len(windows)]) == whole
