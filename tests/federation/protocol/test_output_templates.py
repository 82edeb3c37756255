"""Regions with templates of their own train one model that has an output for every template."""

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import RecordDict
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from federation.errors import MalformedError, RoundFailedError, TrainerError
from federation.flower.local_grid import LocalGrid
from federation.flower.network import FlowerNetwork
from federation.protocol import messages
from federation.protocol.arrays import to_record
from federation.protocol.messages import RegionClient
from federation.protocol.output_templates import MAX_TEMPLATES, allocate_outputs, most_frequent
from federation.protocol.records import ModelSpec, PrivacySettings, TrainTask, Weights
from federation.region.trainer import Trainer
from federation.round.result import RoundResult
from federation.round.round import run_round
from federation.round.settings import RoundSettings
from federation.storage.learning import LearningSet, Purpose
from models.base import WindowDetector, Windows, template_id
from models.detectors.registry import build
from models.storage.store import ModelStore, Notes
from models.thresholds.base import Threshold
from models.training.metrics import confusion
from tests.support.prepared import CountedClock, PreparedRegion, SetStore
from tests.support.secure_grid import SecureGrid
from tests.support.sweep import sweep

SMALL: dict[str, dict[str, Any]] = {
    "deeplog": {"projection": 16, "hidden": 24, "layers": 1, "history": 4},
    "logbert": {"size": 16, "layers": 1, "heads": 2},
    "bert_cnn": {"projection": 16, "filters": 8, "counts": 8, "mixed": 8},
}
RATES = {"deeplog": 1e-2, "logbert": 5e-3, "bert_cnn": 5e-3}
REGIONS = ("ap", "eu", "us")
Start = tuple[ModelSpec, dict[str, NDArray[Any]]]


def texts(region: str) -> list[str]:
    """Templates that all regions share, with those of one region between them."""
    own = [f"{region} stage {word} of job <*>" for word in ("read", "check", "write", "flush")]
    return ["session <*> opened", *own, "session <*> closed"]


def ids(region: str) -> list[int]:
    return [template_id(text) for text in texts(region)]


def made(region: str, count: int, seed: int) -> LearningSet:
    """Jobs of one or two runs through the region's stages; in an anomalous one two are exchanged or one is left out."""
    rng, (first, *stages, last) = np.random.default_rng(seed), ids(region)
    labels, rows = rng.random(count) < 0.3, []
    for anomalous in labels.tolist():
        body = stages * int(rng.integers(1, 3))
        if anomalous:
            at = int(rng.integers(len(body) - 1))
            body[at : at + 2] = body[at : at + 2][::-1] if rng.random() < 0.5 else body[at : at + 1]
        rows.append([first, *body, last])
    named = dict(zip(ids(region), texts(region), strict=True))
    return LearningSet(Windows.of(rows), labels, named, ("labels",) * count)


def store(region: str, seed: int = 0) -> SetStore:
    sizes = {Purpose.TRAIN: 120, Purpose.CALIBRATE: 40, Purpose.HOLDOUT: 60}
    seed = 100 * seed + 10 * REGIONS.index(region)
    return SetStore({p: made(region, n, seed + i) for i, (p, n) in enumerate(sizes.items())})


def trainers(names: Iterable[str] = REGIONS) -> dict[str, RegionClient]:
    return {name: Trainer(name, store(name), device="cpu") for name in names}


@functools.cache
def started(name: str, **changes: Any) -> Start:
    """A model of a region that is none of the three; of their templates it knows the shared ones only."""
    training = {"epochs": 10, "batch_size": 32, "learning_rate": RATES[name]}
    given = {"encoder": "hashing:64", **SMALL[name], "training": training, **changes}
    detector = build(name, given, device="cpu")
    seen = made("old", 60, 99)
    windows = seen.windows if detector.supervised else seen.windows.take(np.flatnonzero(~seen.labels))
    detector.fit(windows, seen.labels if detector.supervised else None, seen.templates)
    spec = ModelSpec(name="m", version=1, detector=name, settings=detector.settings(), extra=detector.extra())
    return spec, detector.weights()


def settings(**changes: Any) -> RoundSettings:
    return RoundSettings.model_validate({"passes": 1, "local_epochs": 2, "min_regions": 1, **changes})


def run(grid: LocalGrid, start: Start, **changes: Any) -> RoundResult:
    return run_round(FlowerNetwork(grid, CountedClock()), settings(**changes), *start, 5.0, round_id="r1")


def loaded(spec: ModelSpec, weights: Weights) -> WindowDetector:
    detector = build(spec.detector, spec.settings, device="cpu")
    detector.load_weights(weights, spec.extra)
    return detector


def f1(spec: ModelSpec, result: RoundResult) -> float:
    """Over the held-out windows of all three regions together."""
    detector, scores, labels = loaded(spec, result.weights), [], []
    for name in REGIONS:
        own = store(name).sets[Purpose.HOLDOUT]
        detector.learn_templates(own.templates)
        scores.append(detector.score(own.windows))
        labels.append(own.labels)
    return confusion(np.concatenate(scores), np.concatenate(labels), result.threshold).f1


@pytest.mark.parametrize(("name", "passes"), [("deeplog", 5), ("logbert", 8)])
def test_what_regions_learn_together_is_better_on_all_of_them_than_what_one_learns_alone(
    name: str, passes: int
) -> None:
    start = started(name)
    together = run(LocalGrid(trainers()), start, passes=passes, local_epochs=10)
    assert together.refusals == ()
    assert together.accepted, together.reason
    alone = [run(LocalGrid(trainers([one])), start, passes=passes, local_epochs=10) for one in REGIONS[: sweep(1, 3)]]
    assert f1(start[0], together) > 0.8
    assert max(f1(start[0], one) for one in alone) < f1(start[0], together) - 0.2


def test_the_model_gets_outputs_for_the_templates_of_all_regions_and_keeps_its_own_in_place() -> None:
    start, steps = started("deeplog"), dict[str, Mapping[str, float | str]]()
    result = run_round(
        FlowerNetwork(LocalGrid(trainers()), CountedClock()), settings(), *start, 5.0, round_id="r1",
        report=lambda step, figures: steps.update({step: figures}),
    )  # fmt: skip
    known, old = result.weights["vocabulary"], start[1]["vocabulary"]
    new = sorted(identity for name in REGIONS for identity in ids(name)[1:-1])
    assert known.tolist() == [*old.tolist(), *new]
    expected = {"known": 6, "new": 12, "dropped": 0, "present": "ap eu us"}
    assert {name: steps["templates"][name] for name in expected} == expected
    assert [len(result.weights[key]) for key in ("vectors", "bias")] == [18, 19]
    again = run(LocalGrid(trainers()), (start[0], dict(result.weights)))
    np.testing.assert_array_equal(again.weights["vocabulary"], known)


def test_a_grown_model_is_published_and_loaded_like_any_other(tmp_path: Path) -> None:
    spec, weights = started("deeplog")
    models = ModelStore(tmp_path)
    models.publish("m", loaded(spec, weights), Notes(threshold=Threshold(rule="percentile", value=5.0)))
    result = run(LocalGrid(trainers()), (spec, weights))
    notes = Notes(threshold=Threshold(rule="auto", value=result.threshold))
    assert models.publish_weights(models.card("m"), result.weights, notes) == 2
    detector, own = models.load("m").detector, store("eu").sets[Purpose.HOLDOUT]
    detector.learn_templates(own.templates)
    direct = loaded(spec, result.weights)
    direct.learn_templates(own.templates)
    np.testing.assert_array_equal(detector.score(own.windows), direct.score(own.windows))


def test_a_judge_of_whole_windows_needs_no_outputs_for_templates() -> None:
    start = started("logbert", head="supervised")
    result = run(LocalGrid(trainers()), start, passes=2, local_epochs=5)
    assert result.accepted, result.reason
    np.testing.assert_array_equal(result.weights["vocabulary"], start[1]["vocabulary"])
    task = TrainTask(round_id="r1", spec=start[0])
    assert trainers()["eu"].templates(task).tolist() == []


def test_masked_updates_of_a_grown_model_give_the_plain_mean() -> None:
    start = started("deeplog")
    secure = run(SecureGrid(trainers()), start, privacy={"mode": "secagg"})
    plain = run(LocalGrid(trainers()), start)
    np.testing.assert_array_equal(secure.weights["vocabulary"], plain.weights["vocabulary"])
    for name in plain.weights:
        np.testing.assert_allclose(secure.weights[name], plain.weights[name], atol=1e-4)


def test_under_differential_privacy_no_region_says_which_templates_it_has() -> None:
    with pytest.raises(
        RoundFailedError, match=r"step 1, templates: 0 regions .*eu: deeplog gets an output for every templ"
    ):
        run(LocalGrid(trainers()), started("deeplog"), privacy={"mode": "dp"})
    start = started("logbert", head="supervised")
    private = {"mode": "dp", "epsilon": 1000.0, "noise_multiplier": 0.5}
    result = run(LocalGrid(trainers(["eu", "us"])), start, local_epochs=1, privacy=private)
    assert (result.participants, result.refusals) == (("eu", "us"), ())
    assert result.epsilon is not None
    spec, weights = started("logbert")
    task = TrainTask(round_id="r1", spec=spec, privacy=PrivacySettings.model_validate({"mode": "dp"}))
    with pytest.raises(TrainerError, match="logbert gets an output for every template"):
        trainers()["eu"].train(weights, task)


def test_a_region_names_the_templates_of_its_normal_training_windows() -> None:
    own = store("eu")
    strange = template_id("never in a normal window")
    learnt = own.sets[Purpose.TRAIN]
    rows = [*(learnt.windows.row(i) for i in range(len(learnt))), np.array([strange])]
    labels = np.append(learnt.labels, True)
    own.sets = {**own.sets, Purpose.TRAIN: LearningSet(Windows.of(rows), labels, learnt.templates, ("labels",) * 121)}
    task = TrainTask(round_id="r1", spec=started("deeplog")[0])
    assert Trainer("eu", own, device="cpu").templates(task).tolist() == sorted(ids("eu"))
    spec = ModelSpec(name="m", version=1, detector="bert_cnn", settings={"encoder": "hashing:16"}, extra={})
    other = Trainer("eu", own, device="cpu").templates(TrainTask(round_id="r1", spec=spec))
    assert (other.tolist(), other.dtype) == ([], np.int64)


GROWING: Weights = {
    "vocabulary": np.array([3, 5], np.int64),
    "vectors": np.ones((2, 4), np.float32),
    "shift": np.zeros(4, np.float32),
    "scale": np.ones(1, np.float32),
    "bias": np.zeros(3, np.float32),
}


def prepared(**named: tuple[int, ...]) -> dict[str, PreparedRegion]:
    return {name: PreparedRegion(name, named=known) for name, known in named.items()}


def ran(regions: Mapping[str, RegionClient]) -> RoundResult:
    spec = ModelSpec(name="m", version=1, detector="deeplog", settings={}, extra={})
    return run(LocalGrid(regions), (spec, dict(GROWING)))


def test_an_update_has_to_have_the_shapes_of_the_grown_model() -> None:
    fleet = prepared(ap=(3, 9), eu=(5, 8), us=())
    fleet["us"].spoil = lambda update: type(update)("us", GROWING, 100)
    result = ran(fleet)
    assert result.weights["vocabulary"].tolist() == [3, 5, 8, 9]
    assert result.participants == ("ap", "eu")
    assert result.refusals[0].reason == "the array 'bias' is float32[3] and should be float32[5]"


@pytest.mark.parametrize("named", [(4, 2), (4, 4), tuple(range(MAX_TEMPLATES + 1))])
def test_a_region_that_names_too_much_or_anything_else_has_no_say(named: tuple[int, ...]) -> None:
    result = ran(prepared(ap=(3, 9), eu=(5, 8), us=named))
    assert result.participants == ("ap", "eu")
    assert result.weights["vocabulary"].tolist() == [3, 5, 8, 9]
    assert f"not at most {MAX_TEMPLATES} int64 in ascending order" in result.refusals[0].reason


@pytest.mark.parametrize("array", [np.ones(2), np.ones(2, np.int32), np.ones((1, 1), np.int64), np.array(3)])
def test_other_arrays_are_no_template_ids(array: NDArray[Any]) -> None:
    with pytest.raises(MalformedError, match="its template ids are"):
        messages.read_templates("eu", RecordDict({"templates": to_record({"ids": array})}))
    with pytest.raises(MalformedError):
        messages.read_templates("eu", RecordDict({"templates": to_record({})}))


SOME = st.lists(st.integers(-20, 20), max_size=12, unique=True).map(lambda found: np.array(sorted(found), np.int64))


@given(SOME, st.dictionaries(st.sampled_from("abcde"), SOME), st.randoms())
def test_the_order_of_regions_does_not_matter_and_nothing_is_learnt_twice(
    known: NDArray[np.int64], named: dict[str, NDArray[np.int64]], random: Any
) -> None:
    kept, found = allocate_outputs(known, named)
    shuffled = list(named.items())
    random.shuffle(shuffled)
    assert allocate_outputs(known, dict(shuffled))[1].tolist() == found.tolist()
    assert set(found.tolist()) | set(known.tolist()) == set(known.tolist()).union(*(n.tolist() for n in named.values()))
    assert (found[1:] > found[:-1]).all()
    assert kept.all()
    again = allocate_outputs(np.concatenate([known, found]), named)
    assert (again[0].all(), again[1].tolist()) == (True, [])


def test_where_there_is_no_place_for_all_those_that_nobody_names_go_first_then_the_last_of_a_long_list() -> None:
    known = np.arange(MAX_TEMPLATES)
    used = np.arange(MAX_TEMPLATES - 2)
    kept, found = allocate_outputs(known, {"eu": np.array([-9, 5000, 5001]), "us": np.array([5001, 5002]), "ap": used})
    assert found.tolist() == [-9, 5000, 5001, 5002]
    assert np.flatnonzero(~kept).tolist() == [
        MAX_TEMPLATES - 4,
        MAX_TEMPLATES - 3,
        MAX_TEMPLATES - 2,
        MAX_TEMPLATES - 1,
    ]
    lines = np.concatenate([np.arange(MAX_TEMPLATES + 1)[::-1], np.arange(1, MAX_TEMPLATES + 1)])
    assert most_frequent(lines).tolist() == list(range(1, MAX_TEMPLATES + 1))


def test_regions_that_name_all_they_may_leave_the_others_their_part_in_every_round() -> None:
    full = np.arange(MAX_TEMPLATES)
    own = {"eu": np.arange(10**6, 10**6 + 50), "us": np.arange(2 * 10**6, 2 * 10**6 + 1000)}
    liars = {"ap": full - 10**9, "me": full - 10**9}  # small ids, and the same: both were a reason to go first
    known = np.arange(4)
    for name in own:
        kept, new = allocate_outputs(known, {**liars, name: own[name]})
        known = np.concatenate([known[kept], new])
        assert len(known) == MAX_TEMPLATES
        assert np.isin(own[name], known).all()
    assert not np.isin(own["eu"], known).any()  # whom nobody names any more


def test_a_model_that_was_made_with_more_outputs_keeps_as_many() -> None:
    known = np.arange(MAX_TEMPLATES + 10)
    kept, new = allocate_outputs(known, {"eu": np.array([-1])})
    assert (int((~kept).sum()), new.tolist()) == (1, [-1])
    kept, new = allocate_outputs(known, {"eu": known[:5]})
    assert (bool(kept.all()), new.tolist()) == (True, [])


def test_a_model_without_a_free_output_is_trained_with_those_that_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("federation.protocol.output_templates.MAX_TEMPLATES", 3)
    result = ran(prepared(ap=(3, 9), eu=(8,), us=(8,)))
    assert result.weights["vocabulary"].tolist() == [3, 8, 9]
    assert (len(result.weights["vectors"]), len(result.weights["bias"])) == (3, 4)
