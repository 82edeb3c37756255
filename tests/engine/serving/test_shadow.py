import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.clock import ManualClock
from engine.serving.hot_swap import ServingModel
from engine.serving.rejected_versions import RejectedVersions
from engine.serving.shadow import ModelFollower, ShadowRules
from engine.steps.calibrate import StreamThreshold
from engine.steps.score import Gatherer, ScoreSettings
from models.base import ModelStoreError
from models.thresholds.registry import fit_threshold
from models.thresholds.stream import StreamCalibrator
from models.training.scoring import WindowScorer

RULES = ShadowRules(windows=20, factor=2.0, margin=0.05)


class Detector:
    """Finds the windows anomalous whose first id is divisible by `every`; `fault` after this many windows."""

    def __init__(self, every=10, fault=None, after=0):
        self.every, self.fault, self.after = every, fault, after
        self.scored = 0

    def learn_templates(self, templates):
        pass

    def knows(self, ids):
        return np.ones(ids.shape, bool)

    def score(self, windows):
        found = np.array([windows.row(i)[0] % self.every == 0 for i in range(len(windows))], np.float32)
        self.scored += len(windows)
        if self.fault is not None and self.scored > self.after:
            if isinstance(self.fault, Exception):
                raise self.fault
            found[:] = self.fault
        return found


class World:
    """A store in memory, a follower and the scoring step, one batch at a time."""

    def __init__(self, window, window_batch, rules=RULES, current=1, memory=None, **versions):
        self._window, self._batch = window, window_batch
        self.versions = {int(name[1:]): detector for name, detector in versions.items()}
        self.current = current
        self.reports = []
        self.follower = ModelFollower(
            lambda: self.current, self._load, lambda *r: self.reports.append(r), rules,
            None if memory is None else RejectedVersions(memory, "m"),
        )  # fmt: skip
        self._gatherer = Gatherer(ScoreSettings(max_age_ms=0, cache_entries=0), self.follower, ManualClock())
        self.number = 0
        self.scored = []
        self.follower.look()

    def _load(self, version):
        if version not in self.versions:
            raise ModelStoreError(f"version {version} is gone")
        scorer = WindowScorer(self.versions[version], version, 0.5, cache_entries=0)
        return ServingModel("m", version, scorer, {})

    def publish(self, version):
        self.current = version
        return self.follower.look()

    def stream(self, windows, size=5):
        """That many windows in batches; the versions that scored them."""
        used = []
        for start in range(0, windows, size):
            rows = range(self.number, self.number + min(size, windows - start))
            self.number = rows.stop
            batch = self._batch(
                *(self._window(rows=(i + 1,), key=f"k{i}", closed=True, time_ns=i * 10**9) for i in rows)
            )
            for scored in self._gatherer.add([batch]):
                self.scored.append(scored)
                self.follower.watch(scored)
                used.append(scored.version)
        return used

    def outcomes(self):
        return [(outcome, version) for outcome, version, _ in self.reports]


@pytest.fixture
def world(window, window_batch):
    return lambda rules=RULES, **more: World(window, window_batch, rules, **more)


# --- before the swap -----------------------------------------------------------------------------


def test_a_candidate_serves_only_after_its_windows(world):
    w = world(v1=Detector(), v2=Detector(every=11))
    assert w.publish(2) is False
    assert w.stream(30) == [1, 1, 1, 1, 2, 2]
    assert w.outcomes() == [("swapped", 1), ("shadowing", 2), ("swapped", 2)]
    assert w.versions[2].scored >= 20


def test_zero_windows_swap_at_once(world):
    w = world(ShadowRules(windows=0), v1=Detector(), v2=Detector(every=1))
    assert w.publish(2) is True
    assert w.stream(5) == [2]
    assert w.versions[1].scored == 2, "the trial of step 4, nothing else"


def test_a_candidate_that_finds_far_too_much_is_refused_with_the_figures(world):
    w = world(v1=Detector(every=10), v2=Detector(every=1))
    w.publish(2)
    assert set(w.stream(60)) == {1}
    assert w.outcomes() == [("swapped", 1), ("shadowing", 2), ("refused", 2)]
    assert "100.00% of 20 live windows anomalous, version 1 10.00%; 25.00% would be allowed" in w.reports[-1][2]


def test_a_candidate_that_finds_less_is_welcome(world):
    w = world(v1=Detector(every=2), v2=Detector(every=100))
    w.publish(2)
    assert w.stream(30)[-1] == 2


@pytest.mark.parametrize("fault", [np.nan, np.inf, RuntimeError("out of memory"), ModelStoreError("no weights")])
def test_a_candidate_that_breaks_on_live_windows_costs_none_of_them(world, fault):
    w = world(v1=Detector(), v2=Detector(fault=fault, after=8))
    w.publish(2)
    assert set(w.stream(60)) == {1}
    assert w.outcomes()[-1] == ("refused", 2)
    assert [k for s in w.scored for k in s.batch.key] == [f"k{i}" for i in range(60)]


def test_a_refused_version_is_not_tried_again_until_the_pointer_has_named_another(world):
    w = world(v1=Detector(), v2=Detector(every=1), v3=Detector())
    w.publish(2)
    w.stream(20)
    scored = w.versions[2].scored
    assert [w.publish(2), w.publish(2)] == [False, False]
    w.stream(40)
    assert w.versions[2].scored == scored
    w.publish(1)
    w.publish(2)
    w.stream(20)
    assert w.versions[2].scored > scored
    assert w.outcomes()[2:] == [("refused", 2), ("recovered", 1), ("shadowing", 2), ("refused", 2)]


def test_a_pointer_that_moves_on_ends_the_trial(world):
    w = world(v1=Detector(), v2=Detector(), v3=Detector())
    w.publish(2)
    w.stream(10)
    w.publish(3)
    assert set(w.stream(20)) == {1}
    assert set(w.stream(10)) == {3}
    w = world(v1=Detector(), v2=Detector())
    w.publish(2)
    w.publish(1)
    assert set(w.stream(60)) == {1}


def test_chance_on_few_windows_refuses_nobody(world):
    w = world(v1=Detector(every=1_000), v2=Detector(every=7))
    w.publish(2)
    assert w.stream(25)[-1] == 2


# --- after the swap ------------------------------------------------------------------------------


class Turning(Detector):
    """Behaves until a certain window, then finds everything anomalous."""

    def __init__(self, at):
        super().__init__()
        self._at = at

    def score(self, windows):
        found = super().score(windows)
        return np.array([1.0 if windows.row(i)[0] > self._at else found[i] for i in range(len(windows))], np.float32)


def test_a_live_regression_goes_back_and_tells(world):
    w = world(v1=Detector(), v2=Turning(at=25))
    w.publish(2)
    assert w.stream(60) == [1] * 4 + [2] * 3 + [1] * 5
    (event,) = w.follower.regressions()
    assert (event.type, event.detector, event.model, event.version) == ("regression", "alert_rate", "m", 2)
    assert event.threshold == pytest.approx(2 / 15 + 0.05)
    assert event.threshold < event.statistic < 10 / 15
    assert (event.since_ns, event.time_ns, event.windows) == (20 * 10**9, 34 * 10**9, 15)
    assert event.evidence == {"previous_version": 1, "alert_rates": [10 / 15, 1 / 15]}
    assert w.follower.regressions() == []
    assert w.outcomes() == [("swapped", 1), ("shadowing", 2), ("swapped", 2), ("taken_back", 2)]


def test_a_version_taken_back_stays_away_while_the_store_still_names_it(world):
    w = world(v1=Detector(), v2=Turning(at=25), v3=Detector())
    w.publish(2)
    w.stream(60)
    assert [w.publish(2), w.publish(2)] == [False, False]
    assert set(w.stream(30)) == {1}
    w.publish(1)  # the coordinator has followed
    assert w.outcomes()[-1] == ("recovered", 1)
    w.publish(3)
    assert w.stream(30)[-1] == 3


def test_a_good_version_is_left_alone_after_its_windows(world):
    w = world(v1=Detector(), v2=Detector(every=9))
    w.publish(2)
    w.stream(40)
    shadowed = w.versions[1].scored
    assert set(w.stream(100)) == {2}
    assert w.versions[1].scored == shadowed
    assert w.follower.regressions() == []


def test_a_store_that_goes_back_is_followed_at_once(world):
    w = world(v1=Detector(), v2=Detector())
    w.publish(2)
    w.stream(25)
    assert w.publish(1) is True
    assert set(w.stream(30)) == {1}


@pytest.mark.parametrize("fault", [np.nan, RuntimeError("out of memory")])
def test_an_old_version_that_breaks_beside_the_new_one_costs_no_window(world, fault):
    w = world(v1=Detector(fault=fault, after=24), v2=Turning(at=25))
    w.publish(2)
    assert w.stream(60) == [1] * 4 + [2] * 8
    assert w.follower.regressions() == []


# --- after a restart -----------------------------------------------------------------------------


def _regressed(world, memory):
    w = world(memory=memory, v1=Detector(), v2=Turning(at=25))
    w.publish(2)
    w.stream(60)
    assert w.outcomes()[-1] == ("taken_back", 2)


def _refused(world, memory):
    w = world(memory=memory, v1=Detector(), v2=Detector(every=1))
    w.publish(2)
    w.stream(20)
    assert w.outcomes()[-1] == ("refused", 2)


@pytest.mark.parametrize("before", [_regressed, _refused])
def test_what_was_taken_back_or_refused_does_not_serve_after_a_restart(world, tmp_path, before, caplog):
    memory = tmp_path / "passed-over.json"
    before(world, memory)
    for _ in range(2):  # and after the next one
        w = world(memory=memory, current=2, v1=Detector(), v2=Detector(every=1), v3=Detector())
        assert set(w.stream(40)) == {1}
        assert [w.publish(2), w.publish(2)] == [False, False]
        assert w.outcomes() == [("swapped", 1)]
    assert "version 2 was rejected or rolled back before this start" in caplog.text
    w.publish(3)
    assert not memory.exists()
    assert w.stream(40)[-1] == 3
    again = world(memory=memory, current=2, v1=Detector(), v2=Detector())
    assert set(again.stream(10)) == {2}, "the pointer has named another one meanwhile"


def test_the_store_going_back_ends_the_memory(world, tmp_path):
    memory = tmp_path / "passed-over.json"
    _regressed(world, memory)
    w = world(memory=memory, current=1, v1=Detector(), v2=Detector())
    assert not memory.exists()
    assert set(w.stream(10)) == {1}


def test_without_the_version_before_the_one_that_the_store_names_serves(world, tmp_path, caplog):
    memory = tmp_path / "passed-over.json"
    _regressed(world, memory)
    w = world(memory=memory, current=2, v2=Detector())
    assert set(w.stream(10)) == {2}
    assert "version 2 serves again, since the one before it cannot: version 1 is gone" in caplog.text


def test_a_memory_that_is_damaged_or_of_another_model_is_none(world, tmp_path, caplog):
    memory = tmp_path / "passed-over.json"
    for content in ("{", "[]", '{"model": "m"}', '{"model": "other", "version": 2, "instead": 1}'):
        memory.write_text(content)
        w = world(memory=memory, current=2, v1=Detector(), v2=Detector())
        assert set(w.stream(5)) == {2}
    assert caplog.text.count("cannot be read, so a version that was rolled back may serve again") == 3


def test_a_memory_that_cannot_be_written_costs_no_window(world, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    _regressed(world, tmp_path / "file" / "passed-over.json")
    assert "a restart forgets this rejection" in caplog.text


# --- operators -----------------------------------------------------------------------------------


def test_a_version_whose_alerts_are_called_wrong_is_taken_back_long_after_its_windows(world):
    w = world(v1=Detector(), v2=Detector())
    w.follower.judge(1, 20, 5, 0)
    w.publish(2)
    w.stream(200)
    w.follower.judge(2, 2, 6, 7)
    assert w.follower.regressions() == []
    w.follower.judge(2, 2, 30, 9)
    (event,) = w.follower.regressions()
    assert (event.detector, event.version, event.windows, event.time_ns) == ("precision", 2, 32, 9)
    assert set(w.stream(10)) == {1}


def test_going_back_to_a_version_that_was_wrong_as_often_helps_nobody(world):
    w = world(v1=Detector(), v2=Detector())
    w.follower.judge(1, 1, 40, 0)
    w.publish(2)
    w.stream(30)
    w.follower.judge(2, 4, 30, 9)
    assert w.follower.regressions() == []
    w.follower.judge(1, 0, 99, 9)  # of a version no longer in service
    assert w.follower.get().version == 2


# --- laws ----------------------------------------------------------------------------------------


@given(
    every=st.lists(st.integers(1, 12), min_size=3, max_size=3),
    script=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 30), st.integers(1, 7)), min_size=1, max_size=8),
)
def test_whatever_is_published_every_window_is_scored_once_by_one_version(window, window_batch, every, script):
    versions = {f"v{i + 2}": Detector(every=n) for i, n in enumerate(every)}
    w = World(window, window_batch, RULES, v1=Detector(), **versions)
    total = 0
    for version, windows, size in script:
        w.publish(version)
        w.stream(windows, size)
        total += windows
    assert [k for s in w.scored for k in s.batch.key] == [f"k{i}" for i in range(total)]
    for scored in w.scored:
        expected = w.versions[scored.version].score(scored.batch.windows)
        np.testing.assert_array_equal(scored.score, expected)


class Rising(Detector):
    """Scores most windows as the held-out ones scored, and one in fifty far above them."""

    def score(self, windows):
        first = np.array([windows.row(i)[0] for i in range(len(windows))])
        return np.where(first % 50 == 0, 4.0, first % 7 / 10).astype(np.float32)


class Calibrated(World):
    """Versions have cards with held-out scores."""

    held_out = fit_threshold("percentile", np.append(np.arange(700) % 7 / 10, [0.65] * 20).astype(np.float32))

    def _load(self, version):
        model = super()._load(version)
        model.fitted = self.held_out
        return model


def test_a_swapped_version_meets_its_first_window_with_a_calibrated_threshold(window, window_batch):
    """No window of the new version is judged by the fitted threshold: the shadow run's scores have corrected it."""
    rules = ShadowRules(windows=300, factor=2.0, margin=0.05)
    world = Calibrated(window, window_batch, rules=rules, v1=Detector(), v2=Rising())
    stream = StreamThreshold(True, world.follower.get)
    world.publish(2)
    assert world.stream(400)[-1] == 2
    thresholds = [stream.thresholds(scored) for scored in world.scored if scored.version == 2]
    expected = StreamCalibrator(world.held_out)
    for scores in world.follower.get().shadow_scores:
        expected.update(scores)
    assert thresholds[0][0] == expected.threshold
    assert world.held_out.value + 0.5 < thresholds[0][0] <= 4.0
