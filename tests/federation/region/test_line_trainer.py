"""Regions that each know other kinds of trouble train one line classifier."""

import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from bench.data.simulated_regions import FixedStore
from federation.errors import RoundFailedError, TrainerError
from federation.flower.local_grid import LocalGrid
from federation.flower.network import FlowerNetwork
from federation.protocol.records import LINE_CLASSIFIER, HoldoutFigures, ModelSpec, Pairs, TrainTask, Weights
from federation.region.trainer import Trainer
from federation.round.evidence import quality, table
from federation.round.gate import judge
from federation.round.guard import figures_problem
from federation.round.result import RoundResult
from federation.round.round import run_round
from federation.round.settings import RoundSettings
from federation.storage.learning import Purpose
from federation.storage.line_classes import line_set
from models.base import Windows, template_id
from models.classify.base import CLASSES, LineClassifier, Lines
from models.classify.registry import build
from models.training.local_training import LocalTraining, within_round
from tests.models.classify.conftest import random_bert
from tests.support.prepared import CountedClock, PreparedRegion, SetStore
from tests.support.secure_grid import SecureGrid
from tests.support.sweep import sweep

KINDS = {
    "ap": ("security_anomaly", ("password", "intruder", "forbidden", "forged")),
    "eu": ("network_anomaly", ("route", "packet", "gateway", "unreachable")),
    "us": ("hardware_issue", ("disk", "fan", "sensor", "voltage")),
}
"""What kind of trouble each region knows, and the words that tell it."""
QUIET = ("opened", "started", "written", "finished")
PLACES = ("alpha", "beta", "gamma", "delta", "omega", "kappa", "sigma", "theta")


def said(region: str) -> dict[str, tuple[str, Any]]:
    """Templates of a region, half of them of its kind of trouble."""
    kind, words = KINDS[region]
    trouble = {f"{word} at {place}": (kind, "labels") for place in PLACES for word in words}
    return trouble | {f"{word} at {place}": ("normal", "labels") for place in PLACES for word in QUIET}


def store(*regions: str) -> SetStore:
    known = {text: label for region in regions for text, label in said(region).items()}
    return SetStore(lines={p: line_set(known, known, p) for p in Purpose})


def trainers(names: Iterable[str] = KINDS) -> dict[str, Any]:
    return {name: Trainer(name, store(name), device="cpu") for name in names}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelSpec, Weights]:
    """A classifier that has seen something of every kind, and not enough."""
    texts = [text for region in KINDS for text in said(region)]
    bert = random_bert(tmp_path_factory.mktemp("bert"), texts)
    quick = {"epochs": 2, "batch_size": 16, "learning_rate": 0.02}
    settings = {"encoder": str(bert), "training": quick, "head": {**quick, "epochs": 1}}
    classifier = build("lora_bert", settings, device="cpu")
    some = Lines.of([text for region in KINDS for text in list(said(region))[::8]])
    labels = [CLASSES.index(said(region)[text][0]) for region in KINDS for text in list(said(region))[::8]]
    classifier.fit(some, np.array(labels))
    return spec_of(classifier), classifier.weights()


def spec_of(classifier: LineClassifier) -> ModelSpec:
    return ModelSpec(
        name="lines", version=1, kind=LINE_CLASSIFIER, detector=classifier.name, settings=classifier.settings(),
        extra=classifier.extra(),
    )  # fmt: skip


def run(grid: LocalGrid, start: tuple[ModelSpec, Weights], **changes: Any) -> RoundResult:
    given = {"passes": 1, "local_epochs": 2, "min_regions": 1, "margin_region": 1.0, "margin_overall": -1.0, **changes}
    settings = RoundSettings.model_validate(given)
    return run_round(FlowerNetwork(grid, CountedClock()), settings, *start, 0.0, round_id="r1")


def macro_f1(start: tuple[ModelSpec, Weights], weights: Weights) -> float:
    """Over the held-out templates of all regions."""
    found = Trainer("all", store(*KINDS), device="cpu").evaluate(
        weights, start[1], TrainTask(round_id="r1", spec=start[0]), (0.0, 0.0)
    )
    return quality(found.candidate)


def test_what_regions_learn_together_is_better_on_all_kinds_than_what_one_learns_alone(start) -> None:
    together = run(LocalGrid(trainers()), start, passes=4, local_epochs=4)
    assert (together.refusals, together.participants) == ((), ("ap", "eu", "us"))
    kinds = list(KINDS)[: sweep(1, 3)]
    alone = [run(LocalGrid(trainers([name])), start, passes=4, local_epochs=4).weights for name in kinds]
    best = max(macro_f1(start, weights) for weights in alone)
    assert macro_f1(start, together.weights) > max(best, macro_f1(start, start[1])) + 0.1


def test_the_round_of_one_region_is_local_training(start) -> None:
    spec, weights = start
    result = run(LocalGrid(trainers(["eu"])), start)
    classifier = build(spec.detector, spec.settings, device="cpu")
    classifier.load_weights(weights, spec.extra)
    own = store("eu").lines[Purpose.TRAIN]
    with within_round(LocalTraining(2)):
        classifier.fit(own.lines, own.labels, weights=own.weights, seed=zlib.crc32(b"eu 0 0"))
    for name, array in classifier.weights().items():
        np.testing.assert_allclose(result.weights[name], array, atol=1e-6)
    assert result.examples == len(own)
    assert result.threshold == 0.0
    held = len(store("eu").lines[Purpose.HOLDOUT])
    assert [(len(f.candidate), sum(f.candidate)) for f in result.figures] == [(len(CLASSES) ** 2, held)]


def test_only_adapters_and_head_travel_and_the_encoder_stays(start) -> None:
    result = run(LocalGrid(trainers()), start)
    assert {name.split(".")[0] for name in result.weights} == {"bert", "centred", "head"}
    assert all("lora_" in name for name in result.weights if name.startswith("bert"))
    np.testing.assert_array_equal(result.weights["centred.shift"], start[1]["centred.shift"])


def test_masked_updates_give_the_plain_mean(start) -> None:
    secure = run(SecureGrid(trainers()), start, privacy={"mode": "secagg"})
    plain = run(LocalGrid(trainers()), start)
    for name in plain.weights:
        np.testing.assert_allclose(secure.weights[name], plain.weights[name], atol=1e-4)


def test_what_cannot_be_federated_says_so(start) -> None:
    spec, weights = start
    other = spec.model_copy(update={"detector": "dann_bert"})
    with pytest.raises(
        RoundFailedError, match=r"the number of weights of dann_bert depends .* lora_bert can be federated"
    ):
        run(LocalGrid(trainers()), (other, weights))
    with pytest.raises(RoundFailedError, match="differential privacy covers windows and not lines"):
        run(LocalGrid(trainers()), start, privacy={"mode": "dp"})


def test_a_region_whose_templates_are_all_of_one_class_says_so_and_still_judges(start) -> None:
    quiet = {text: label for text, label in said("us").items() if label[0] == "normal"}
    fleet = {
        **trainers(("ap", "eu")),
        "us": Trainer("us", SetStore(lines={p: line_set(quiet, quiet, p) for p in Purpose})),
    }
    result = run(LocalGrid(fleet), start)
    assert result.participants == ("ap", "eu")
    assert "all lines are normal" in result.refusals[0].reason
    assert [f.region for f in result.figures] == ["ap", "eu", "us"]


def test_a_region_that_knows_no_template_yet_says_so_and_neither_gains_nor_loses(start) -> None:
    nothing = SetStore(lines={p: line_set({}, {}, p) for p in Purpose})
    result = run(LocalGrid({**trainers(("ap", "eu")), "us": Trainer("us", nothing, device="cpu")}), start)
    assert result.participants == ("ap", "eu")
    assert [r.region for r in result.refusals] == ["us"]
    assert sum(result.figures[2].current) == sum(result.figures[2].candidate) == 0


def test_counts_of_another_kind_of_model_have_no_say(start) -> None:
    class Windowed(Trainer):
        def evaluate(self, *_: Any) -> HoldoutFigures:
            return HoldoutFigures(self.region, (1, 0, 0, 9), (1, 0, 0, 9))

    result = run(LocalGrid({**trainers(("ap", "eu")), "us": Windowed("us", store("us"))}), start)
    assert [(r.region, r.reason) for r in result.refusals] == [("us", "it gave 4 counts, not 49")]
    assert [f.region for f in result.figures] == ["ap", "eu"]


def cells(*given: tuple[int, int, int]) -> tuple[int, ...]:
    """Counts from (class, class that was given, how many)."""
    matrix = np.zeros((len(CLASSES), len(CLASSES)), int)
    for truth, said_, count in given:
        matrix[truth, said_] = count
    return tuple(matrix.ravel().tolist())


def test_the_gate_compares_macro_f1() -> None:
    settings = RoundSettings.model_validate({})
    before, after = cells((0, 0, 90), (1, 0, 10)), cells((0, 0, 88), (0, 1, 2), (1, 1, 10))
    verdict = judge([HoldoutFigures(r, before, after, Pairs(found=10, lost=2)) for r in ("eu", "us")], settings)
    assert verdict.accepted, verdict.reason
    one_worse = HoldoutFigures("us", after, before, Pairs(found=2, lost=10))
    verdict = judge([HoldoutFigures("eu", before, after, Pairs(found=10, lost=2)), one_worse], settings)
    assert [v.region for v in verdict.regions if v.adopts] == ["eu"]
    worse = HoldoutFigures("us", cells((2, 2, 9)), cells((2, 2, 5), (2, 0, 4)), Pairs(lost=4))
    better = [HoldoutFigures(r, before, after, Pairs(found=10, lost=2)) for r in ("ap", "eu")]
    verdict = judge([*better, worse], settings)
    assert [v.region for v in verdict.regions if v.adopts] == ["ap", "eu"]
    assert "worse in us, which keeps its version: 1.0000 became 0.3571 by 4 templates" in verdict.reason
    assert quality(cells()) == 1.0
    assert table([after, after])["macro_f1"] == pytest.approx(quality(after))


def test_counts_must_be_of_the_same_templates() -> None:
    moved = HoldoutFigures("eu", cells((0, 0, 5)), cells((1, 1, 5)))
    assert "not of the same windows" in str(figures_problem(moved, 100, len(CLASSES)))
    fine = HoldoutFigures("eu", cells((0, 0, 5)), cells((0, 3, 5)), Pairs(lost=5))
    unlike = HoldoutFigures("eu", cells((0, 0, 5)), cells((0, 3, 5)), Pairs(lost=4))
    assert "do not fit its totals" in str(figures_problem(unlike, 100, len(CLASSES)))
    assert figures_problem(fine, 100, len(CLASSES)) is None
    assert "at most 4 are accepted" in str(figures_problem(fine, 4, len(CLASSES)))


def test_virtual_regions_take_the_classes_that_the_rules_give() -> None:
    text = "Failed password for <*> from <*>"
    identity = template_id(text)
    virtual = FixedStore(Windows.of([[identity]] * 10), np.zeros(10, bool), {identity: text}, seed=0)
    found = [virtual.line_set(purpose) for purpose in (Purpose.TRAIN, Purpose.HOLDOUT)]
    assert [lines for part in found for lines in part.lines.templates] == [text]


def test_a_window_detector_is_asked_for_a_threshold_and_a_classifier_is_not(start) -> None:
    class Refusing(PreparedRegion):
        def calibrate(self, *_: Any) -> Any:
            raise TrainerError("there is nothing to calibrate")

    matrix = cells((0, 0, 5), (1, 1, 5))
    fleet = {n: Refusing(n, current=matrix, candidate=matrix) for n in ("eu", "us")}  # type: ignore[arg-type]
    result = run(LocalGrid(fleet), start)
    assert (result.refusals, result.threshold) == ((), 0.0)
    task = TrainTask(round_id="r1", spec=start[0])
    assert fleet["eu"].tasks == [task.model_copy(update={"local_epochs": 2})]
