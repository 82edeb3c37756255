import threading

import numpy as np
import pytest

from engine.clock import ManualClock
from engine.serving.hot_swap import LEARN_AT_ONCE, ModelMissingError, ServingModel
from engine.serving.shadow import ModelFollower
from engine.steps.score import Gatherer, ScoreSettings
from models.base import ModelError, ModelStoreError, Windows
from models.detectors.event_counts import EventCounts, EventCountsSettings
from models.storage.store import ModelStore, Notes
from models.thresholds.base import Threshold
from models.training.scoring import WindowScorer


class Recorder:
    """A detector that scores every window by the number of templates it was taught."""

    def __init__(self, score=None):
        self.taught = []
        self.scored = self.rested = 0
        self._score = score

    def rest(self):
        self.rested += 1

    def learn_templates(self, templates):
        self.taught.append(dict(templates))

    def knows(self, ids):
        known = {t for batch in self.taught for t in batch}
        return np.array([t in known for t in ids.tolist()], bool)

    def score(self, windows):
        self.scored += len(windows)
        known = sum(map(len, self.taught)) if self._score is None else self._score
        return np.full(len(windows), known, np.float32)


class Store:
    """A store in memory, whose versions are detectors or faults."""

    def __init__(self):
        self.current = None
        self.versions = {}
        self.templates = {}
        self.loads = 0

    def pointer(self):
        if isinstance(self.current, Exception):
            raise self.current
        return self.current

    def load(self, version):
        self.loads += 1
        found = self.versions[version]
        if isinstance(found, Exception):
            raise found
        return ServingModel("m", version, WindowScorer(found, version, 0.5), self.templates)


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def reports():
    return []


@pytest.fixture
def follower(store, reports):
    return ModelFollower(store.pointer, store.load, lambda *report: reports.append(report))


def outcomes(reports):
    return [(outcome, version) for outcome, version, _ in reports]


# --- following -----------------------------------------------------------------------------------


def test_without_a_model_there_is_none_and_the_reason_says_what_to_do(follower, reports):
    assert follower.look() is False
    assert not follower.ready
    with pytest.raises(ModelMissingError):
        follower.get()
    assert outcomes(reports) == [("unreachable", -1)]
    assert "driftline train" in reports[0][2]


def test_the_first_version_is_taken_over_once(follower, store, reports):
    store.current, store.versions = 1, {1: Recorder()}
    assert follower.look() is True
    assert follower.look() is False
    assert (follower.ready, follower.get().version, store.loads) == (True, 1, 1)
    assert outcomes(reports) == [("swapped", 1)]


def test_a_rollback_is_followed_like_any_other_version(follower, store, reports):
    store.versions = {1: Recorder(), 2: Recorder()}
    for store.current in (1, 2, 1):
        assert follower.look() is True
    assert follower.get().version == 1
    assert outcomes(reports) == [("swapped", 1), ("swapped", 2), ("swapped", 1)]


def test_a_broken_version_is_refused_and_reported_once_while_the_old_one_goes_on(follower, store, reports):
    store.current, store.versions = 1, {1: Recorder(), 2: ModelStoreError("the sha256 is not the card's")}
    follower.look()
    old = follower.get()
    store.current = 2
    assert [follower.look() for _ in range(3)] == [False, False, False]
    assert follower.get() is old
    assert reports[1:] == [("refused", 2, "the sha256 is not the card's")]


def test_a_half_written_version_is_taken_over_once_it_is_complete(follower, store, reports):
    store.current, store.versions = 2, {2: ModelStoreError("half-written")}
    follower.look()
    follower.look()
    store.versions[2] = Recorder()
    assert follower.look() is True
    assert outcomes(reports) == [("refused", 2), ("swapped", 2)]


def test_another_fault_of_the_same_version_is_reported_too(follower, store, reports):
    store.current, store.versions = 2, {2: ModelStoreError("no weights")}
    follower.look()
    store.versions[2] = ModelStoreError("wrong sha256")
    follower.look()
    assert [sentence for _, _, sentence in reports] == ["no weights", "wrong sha256"]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_version_that_scores_no_numbers_is_refused(follower, store, reports, bad):
    store.current, store.versions = 3, {3: Recorder(score=bad)}
    assert follower.look() is False
    assert not follower.ready
    assert outcomes(reports) == [("refused", 3)]
    assert "not finite numbers" in reports[0][2]


def test_an_unreachable_store_changes_nothing_and_its_return_is_told(follower, store, reports):
    store.current, store.versions = 1, {1: Recorder()}
    follower.look()
    store.current = ModelStoreError("no route to host")
    assert [follower.look(), follower.look()] == [False, False]
    assert follower.get().version == 1
    store.current = 1
    assert [follower.look(), follower.look()] == [False, False]
    assert outcomes(reports) == [("swapped", 1), ("unreachable", -1), ("recovered", 1)]


def test_pointing_back_from_a_broken_version_is_told_and_a_new_refusal_is_reported_again(follower, store, reports):
    store.versions = {1: Recorder(), 2: ModelStoreError("broken")}
    for store.current in (1, 2, 1, 2):
        follower.look()
    assert outcomes(reports) == [("swapped", 1), ("refused", 2), ("recovered", 1), ("refused", 2)]


def test_the_trial_of_a_candidate_leaves_the_model_in_service_alone(follower, store):
    running = Recorder()
    store.current, store.versions = 1, {1: running, 2: Recorder(score=np.nan)}
    follower.look()
    scored = running.scored
    store.current = 2
    follower.look()
    assert running.scored == scored


# --- templates -----------------------------------------------------------------------------------


def test_a_candidate_knows_every_template_before_it_serves(follower, store):
    store.templates.update({1: "a", 2: "b"})
    store.current, store.versions = 1, {1: Recorder()}
    follower.look()
    assert store.versions[1].taught == [{1: "a", 2: "b"}]


def test_templates_are_learnt_before_the_windows_that_hold_them_are_scored(follower, store):
    store.current, store.versions = 1, {1: Recorder()}
    follower.look()
    store.templates.update({1: "a"})
    assert follower.get().score(Windows.of([[1]])).tolist() == [1.0]
    store.templates.update({1: "a", 2: "b", 3: "c"})
    assert follower.get().score(Windows.of([[2, 3]])).tolist() == [3.0]
    assert store.versions[1].taught == [{1: "a"}, {2: "b", 3: "c"}]


def test_nothing_is_learnt_twice(follower, store):
    store.current, store.versions = 1, {1: Recorder()}
    store.templates.update({1: "a"})
    follower.look()
    for _ in range(3):
        follower.get().score(Windows.of([[1]]))
    assert store.versions[1].taught == [{1: "a"}]


def test_a_flood_of_templates_is_learnt_in_parts_with_a_sign_of_life_after_each():
    recorder, texts, signs = Recorder(), {}, []
    serving = ServingModel("m", 1, WindowScorer(recorder, 1, 0.5), texts, lambda: signs.append(len(recorder.taught)))
    texts.update({i: f"template {i}" for i in range(1, 2 * LEARN_AT_ONCE + 4)})
    serving.score(Windows.of([[1]]))
    assert [len(part) for part in recorder.taught] == [LEARN_AT_ONCE, LEARN_AT_ONCE, 3]
    assert {k: v for part in recorder.taught for k, v in part.items()} == texts
    assert signs == [1, 2, 3]


# --- between two batches -------------------------------------------------------------------------


def test_a_swap_loses_and_repeats_no_window_and_every_score_names_its_version(follower, store, window_batch, window):
    store.templates.update({1: "a", 2: "b"})
    store.current, store.versions = 1, {v: Recorder(score=v) for v in (1, 2, 3)}
    follower.look()
    gatherer = Gatherer(ScoreSettings(max_windows=4), follower, ManualClock())
    out = []
    for i in range(40):
        if i % 7 == 6:
            store.current = store.current % 3 + 1
            follower.look()
        out += gatherer.add([window_batch(window(rows=(1, 2), key=f"k{i}"))])
    out += gatherer.flush()
    assert [k for s in out for k in s.batch.key] == [f"k{i}" for i in range(40)]
    assert {s.version for s in out} == {1, 2, 3}
    for s in out:
        assert set(s.score.tolist()) == {float(s.version)}


def test_a_version_with_the_same_windows_does_not_answer_from_the_old_ones_memory(follower, store):
    store.templates.update({1: "a"})
    store.versions = {1: Recorder(score=0.25), 2: Recorder(score=0.75)}
    found = []
    for store.current in (1, 2):
        follower.look()
        found += [follower.get().score(Windows.of([[1], [1]])).tolist() for _ in range(2)]
    assert found == [[0.25, 0.25]] * 2 + [[0.75, 0.75]] * 2


# --- with the store on disk ----------------------------------------------------------------------


@pytest.fixture
def detector():
    fitted = EventCounts(EventCountsSettings())
    fitted.fit(Windows.of([[1, 2, 3], [1, 2, 2, 3]]), None, {1: "a", 2: "b", 3: "c"})
    return fitted


def publish(store, detector):
    return store.publish("m", detector, Notes(threshold=Threshold(rule="percentile", value=0.5)))


@pytest.fixture
def on_disk(tmp_path, reports):
    store = ModelStore(tmp_path)
    templates = {}

    def load(version):
        stored = store.load("m", version, device="cpu")
        scorer = WindowScorer(stored.detector, version, stored.card.threshold.value)
        return ServingModel("m", version, scorer, templates)

    return store, ModelFollower(lambda: store.current("m"), load, lambda *report: reports.append(report))


def test_a_version_damaged_on_disk_is_refused_until_it_is_whole_again(on_disk, reports, tmp_path, detector):
    store, follower = on_disk
    publish(store, detector)
    assert follower.look() is True
    publish(store, detector)
    weights = tmp_path / "m" / "2" / "weights.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    assert [follower.look(), follower.look()] == [False, False]
    assert (follower.get().version, outcomes(reports)[1:]) == (1, [("refused", 2)])
    weights.write_bytes(whole)
    assert follower.look() is True
    assert follower.get().version == 2
    store.rollback("m")
    assert follower.look() is True
    assert follower.get().version == 1


def test_a_store_that_vanishes_and_comes_back_is_lived_through(on_disk, reports, tmp_path, detector):
    store, follower = on_disk
    publish(store, detector)
    follower.look()
    pointer = tmp_path / "m" / "current"
    saved = pointer.read_bytes()
    pointer.write_bytes(b"{")
    assert follower.look() is False
    assert follower.get().version == 1
    pointer.write_bytes(saved)
    follower.look()
    assert outcomes(reports) == [("swapped", 1), ("unreachable", -1), ("recovered", 1)]


def test_what_new_templates_need_is_freed_once_none_has_come_for_a_while():
    detector, templates = Recorder(), {1: "a"}
    model = ServingModel("m", 1, WindowScorer(detector, 1, 0.5), templates)
    model.catch_up()
    model.rest()
    assert detector.rested == 0, "a template came since the last call"
    model.rest()
    assert detector.rested == 1
    templates[2] = "b"
    model.catch_up()
    model.rest()
    assert detector.rested == 1


# --- the thread ----------------------------------------------------------------------------------


def test_the_thread_follows_survives_what_breaks_and_ends(store, reports):
    swapped, broken = threading.Event(), threading.Event()
    store.current, store.versions = 1, {1: RuntimeError("out of memory")}

    def report(outcome, version, sentence):
        reports.append((outcome, version, sentence))
        (swapped if outcome == "swapped" else broken).set()

    follower = ModelFollower(store.pointer, store.load, report)
    follower.follow(0.001)
    try:
        assert broken.wait(100)
        store.versions = {1: Recorder()}
        assert swapped.wait(100)
    finally:
        follower.stop()
        follower.stop()
    assert outcomes(reports) == [("refused", -1), ("swapped", 1)]
    assert "out of memory" in reports[0][2]
    assert not [t for t in threading.enumerate() if t.name == "model-follower"]


def test_stopping_before_following_does_no_harm(follower, store):
    follower.stop()
    store.current, store.versions = 1, {1: Recorder()}
    assert follower.look() is True
    assert follower.get().version == 1


def test_a_missing_model_is_a_model_error():
    assert issubclass(ModelMissingError, ModelError)
