import numpy as np
import pytest

from federation.protocol.records import ModelSpec, TrainTask
from federation.region.made_up_incidents import (
    CHANGES,
    MAX_INCIDENTS,
    MIN_CALIBRATION,
    level_of,
    recent_windows,
    tells_apart,
    with_incidents,
)
from federation.region.trainer import Trainer
from federation.storage.learning import ASSUMED, LearningSet, Purpose
from models.base import Windows
from models.detectors.registry import build
from tests.support.prepared import SetStore, made_set


def unlabelled(count: int, seed: int) -> LearningSet:
    made = made_set(count, seed, 0.0)
    return LearningSet(made.windows, made.labels, made.templates, (ASSUMED,) * count)


def test_every_window_gets_an_incident_and_the_original_stays() -> None:
    recent = recent_windows(unlabelled(40, 1))
    before = recent.windows.ids.copy()
    changed = with_incidents(recent, 7)
    assert len(changed) == len(recent) == 40
    np.testing.assert_array_equal(recent.windows.ids, before)
    assert all(changed.windows.row(i).tolist() != recent.windows.row(i).tolist() for i in range(40))
    assert set(changed.windows.ids.tolist()) <= set(changed.templates)
    again = with_incidents(recent, 7)
    np.testing.assert_array_equal(again.windows.ids, changed.windows.ids)


@pytest.mark.parametrize("change", CHANGES)
def test_a_window_of_one_line_can_be_changed(change) -> None:
    assert len(change(np.array([5]), np.random.default_rng(0)))


def test_only_the_newest_windows_without_a_label_are_used() -> None:
    made = unlabelled(MAX_INCIDENTS + 50, 1)
    provenance = ("labels",) * 10 + made.provenance[10:]
    recent = recent_windows(LearningSet(made.windows, made.labels, made.templates, provenance))
    np.testing.assert_array_equal(recent.windows.ids, made.windows.take(np.arange(50, MAX_INCIDENTS + 50)).ids)
    assert len(recent_windows(LearningSet(Windows.of([]), np.zeros(0, bool), {}, ()))) == 0


def test_a_model_that_finds_everything_or_nothing_strange_finds_no_incident() -> None:
    calibration = np.linspace(0, 1, 999, dtype=np.float32)
    usual, high = np.full(8, 0.5, np.float32), np.full(8, 2.0, np.float32)
    for recent, changed in ((high, high), (usual, usual)):
        found, strange = tells_apart(calibration, recent, changed, 0.0)
        assert not found.any()
        assert strange.all() == (recent is high)
    found, strange = tells_apart(calibration, usual, high, 2.0)
    assert found.all()
    assert not strange.any()


def test_an_incident_below_the_threshold_is_not_found() -> None:
    calibration = np.linspace(0, 1, 999, dtype=np.float32)
    found, _ = tells_apart(calibration, np.full(8, 0.5, np.float32), np.full(8, 2.0, np.float32), 2.5)
    assert not found.any()


@pytest.mark.parametrize("windows", [MIN_CALIBRATION, 60, 199, 5_000])
def test_two_calibration_windows_or_a_hundredth_may_be_as_strange_as_a_finding(windows: int) -> None:
    calibration = np.arange(windows, dtype=np.float32)
    beyond = int(level_of(windows) * (windows + 1))  # ranks that count as strange, the window itself included
    assert 2 <= beyond <= max(2, windows // 100 + 1)
    recent = np.array([-1.0], np.float32)
    for rank, expected in ((beyond - 1, True), (beyond, False)):
        changed = np.array([windows - rank - 0.5], np.float32)
        assert tells_apart(calibration, recent, changed, 0.0)[0].all() == expected


def test_a_model_that_learnt_the_present_is_better_without_a_label() -> None:
    """The stream has a new normal template; the model that has seen it tells incidents from it."""
    recent = unlabelled(300, 3)
    old_template, new_template = recent.windows.ids[0], 12345
    rows = [recent.windows.row(i) for i in range(300)]
    rows = [np.where(row == old_template, new_template, row) for row in rows]
    texts = {**recent.templates, new_template: "opened with <*>"}
    now = LearningSet(Windows.of(rows), recent.labels, texts, recent.provenance)
    store = SetStore({p: now for p in Purpose})
    before, after = (build("event_counts", {}, device="cpu") for _ in range(2))
    before.fit(recent.windows, None, recent.templates, seed=0)
    after.fit(now.windows, None, now.templates, seed=0)
    spec = ModelSpec(name="m", version=1, detector="event_counts", settings=before.settings(), extra=before.extra())
    figures = Trainer("eu", store, device="cpu").evaluate(
        after.weights(), before.weights(), TrainTask(round_id="r1", spec=spec), (0.0, 0.0)
    )
    assert figures.strange[2] == MAX_INCIDENTS
    assert figures.strange[0] > figures.strange[1]
    assert figures.made_up.found > figures.made_up.lost + 20
    assert sum(figures.current) == 0
    deaf = Trainer("eu", store, device="cpu").evaluate(
        after.weights(), before.weights(), TrainTask(round_id="r1", spec=spec), (1e9, 0.0)
    )
    assert deaf.made_up.found == 0
    few = SetStore({**store.sets, Purpose.CALIBRATE: now.subset(np.arange(300) < MIN_CALIBRATION - 1)})
    figures = Trainer("eu", few, device="cpu").evaluate(
        after.weights(), before.weights(), TrainTask(round_id="r1", spec=spec), (0.0, 0.0)
    )
    assert figures.strange == (0, 0, 0)
