"""What every detector that can be federated promises, one test each; run over all entries of `FEDERATED`."""

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from federation.errors import RoundFailedError, SetupError, TrainerError
from federation.flower.local_grid import LocalGrid
from federation.flower.network import FlowerNetwork
from federation.protocol.messages import RegionClient
from federation.protocol.records import ModelSpec, TrainTask, Update, Weights
from federation.region.trainer import Trainer
from federation.round.result import RoundResult
from federation.round.round import run_round
from federation.round.settings import RoundSettings
from models.detectors.federated import FEDERATED, statistics_of
from models.detectors.registry import DETECTORS, build
from models.training.model_registry import entry
from tests.support.prepared import TEMPLATES, CountedClock, SetStore, made_set, made_store

VARIANTS = [
    (name, dict(settings)) for name in FEDERATED for settings in entry(DETECTORS, "detector", name).model.check_settings
]
every_variant = pytest.mark.parametrize("number", range(len(VARIANTS)), ids=lambda i: f"{VARIANTS[i][0]}-{i}")
BY_STATISTICS = [i for i, (name, _) in enumerate(VARIANTS) if statistics_of(name) is not None]


@functools.cache
def started(number: int) -> tuple[ModelSpec, dict[str, NDArray[Any]]]:
    """A model fitted to few windows, as a round starts from."""
    name, settings = VARIANTS[number]
    detector = build(name, settings, device="cpu")
    seen = made_set(20, 99)
    own = seen if detector.supervised else seen.subset(~seen.labels)
    detector.fit(own.windows, own.labels if detector.supervised else None, seen.templates)
    spec = ModelSpec(name="m", version=1, detector=name, settings=detector.settings(), extra=detector.extra())
    return spec, detector.weights()


def trainers(names: tuple[str, ...] = ("ap", "eu", "us")) -> dict[str, RegionClient]:
    return {name: Trainer(name, made_store(1 + ord(name[0])), device="cpu") for name in names}


def round_of(number: int, regions: Mapping[str, RegionClient], **settings: Any) -> RoundResult:
    spec, weights = started(number)
    chosen = RoundSettings.model_validate({"passes": 2, "local_epochs": 1, "margin_region": 1.0, **settings})
    network = FlowerNetwork(LocalGrid(regions), CountedClock())
    return run_round(network, chosen, spec, weights, 0.5, round_id="r1")


@functools.cache
def plain_round(number: int) -> RoundResult:
    """A round of three regions with the defaults; several tests look at it."""
    return round_of(number, trainers())


def scores(number: int, weights: Weights) -> NDArray[np.float32]:
    spec, _ = started(number)
    detector = build(spec.detector, spec.settings, device="cpu")
    detector.load_weights(weights, spec.extra)
    probe = made_set(60, 7)
    detector.learn_templates(probe.templates)
    return detector.score(probe.windows)


def test_every_window_detector_can_be_federated() -> None:
    assert FEDERATED.keys() == DETECTORS.keys()


@every_variant
def test_a_round_makes_a_model_that_loads_and_scores(number: int) -> None:
    result = plain_round(number)
    assert result.participants == ("ap", "eu", "us")
    assert result.refusals == ()
    found = scores(number, result.weights)
    assert np.isfinite(found).all()
    assert (found != scores(number, started(number)[1])).any()


@every_variant
def test_neither_the_order_of_regions_nor_a_repetition_changes_the_model(number: int) -> None:
    first, second = plain_round(number), round_of(number, trainers(("us", "ap", "eu")))
    assert first.weights.keys() == second.weights.keys()
    for name, array in first.weights.items():
        np.testing.assert_array_equal(array, second.weights[name])


@every_variant
def test_only_numbers_leave_a_region(number: int) -> None:
    spec, weights = started(number)
    update = trainers()["eu"].train(weights, TrainTask(round_id="r1", spec=spec, local_epochs=1))
    assert {array.dtype.kind for array in update.weights.values()} <= set("fiub")
    texts = [text.encode() for text in made_set(1, 0).templates.values()]
    assert not any(text in array.tobytes() for array in update.weights.values() for text in texts)


@every_variant
def test_a_detector_scores_better_after_a_round_than_after_few_windows(number: int) -> None:
    """The area under the ROC curve on windows that no region has."""
    probe = made_set(60, 7).labels
    before, after = (
        _area(scores(number, weights), probe) for weights in (started(number)[1], _trained_longer(number).weights)
    )
    assert after >= before - 0.02


def _trained_longer(number: int) -> RoundResult:
    return round_of(number, trainers(), local_epochs=4)


def _area(found: NDArray[np.float32], labels: NDArray[np.bool_]) -> float:
    pairs = found[labels][:, None] - found[~labels][None, :]
    return float((pairs > 0).mean() + 0.5 * (pairs == 0).mean())


class SpoiledRegion(Trainer):
    """A region whose updates hold one array that is not what it should be."""

    def __init__(self, region: str, name: str, value: NDArray[Any]) -> None:
        super().__init__(region, made_store(5), device="cpu")
        self._spoiled = {name: value}

    def train(self, weights: Weights, task: TrainTask) -> Update:
        honest = super().train(weights, task)
        return replace(honest, weights={**honest.weights, **self._spoiled})


SPOILED: dict[str, NDArray[Any]] = {
    "vocabulary": np.arange(5, 0, -1),
    "words": np.zeros(3, np.float32),
    "word_offsets": np.zeros(2, np.int64),
    "columns": np.full(3, 99),
    "counts": np.array([10**12]),
    "offsets": np.array([0, 0]),
    "closed": np.ones((2, 2), bool),
    "normal": np.array([-1]),
    "anomalous": np.array([2**62]),
    "assumed": np.zeros(1, bool),
    "texts": np.array([1]),
}


@pytest.mark.parametrize("number", BY_STATISTICS[:1])
@pytest.mark.parametrize("name", SPOILED)
def test_statistics_that_cannot_be_read_are_refused_and_leave_no_trace(number: int, name: str) -> None:
    regions = trainers(("ap", "us"))
    spoiled = round_of(number, {**regions, "eu": SpoiledRegion("eu", name, SPOILED[name])})
    assert spoiled.participants == ("ap", "us")
    assert [refusal.region for refusal in spoiled.refusals] == ["eu"]
    clean = round_of(number, regions)
    for key, array in clean.weights.items():
        np.testing.assert_array_equal(array, spoiled.weights[key])


@pytest.mark.parametrize("number", BY_STATISTICS)
def test_statistics_do_not_go_with_settings_that_need_weights(number: int) -> None:
    with pytest.raises(SetupError, match="multikrum compares weights, and event_counts sends statistics; use fedavg"):
        round_of(number, trainers(), strategy="multikrum")
    for mode in ("secagg", "dp"):
        with pytest.raises(SetupError, match=f"privacy.mode = {mode} does not cover"):
            round_of(number, trainers(), privacy={"mode": mode})
        task = {"round_id": "r1", "spec": started(number)[0], "privacy": {"mode": mode}}
        with pytest.raises(TrainerError, match=f"statistics of its windows, which {mode} does not cover"):
            trainers()["eu"].train(started(number)[1], TrainTask.model_validate(task))


@pytest.mark.parametrize("number", [i for i in BY_STATISTICS if VARIANTS[i][1].get("head") in ("logistic", "boosted")])
def test_regions_that_together_have_one_class_only_end_the_round(number: int) -> None:
    regions = {n: Trainer(n, made_store(i, anomalous_share=0.0), device="cpu") for i, n in enumerate(("ap", "us"), 1)}
    with pytest.raises(RoundFailedError, match=r"step 5, pass 0: .* learns from labelled windows of both classes"):
        round_of(number, regions)


class Boaster(Trainer):
    """A region that claims more windows than all others."""

    def train(self, weights: Weights, task: TrainTask) -> Update:
        honest = super().train(weights, task)
        return replace(
            honest, examples=9_000_000, weights={**honest.weights, "normal": honest.weights["normal"] * 10**5}
        )


def test_a_region_that_claims_more_windows_gains_no_more_than_its_share() -> None:
    number = BY_STATISTICS[0]
    regions = {name: Trainer(name, made_store(i), device="cpu") for i, name in enumerate(("ap", "us"), 1)}
    boasting = round_of(number, {**regions, "eu": Boaster("eu", made_store(5), device="cpu")})
    honest = round_of(number, {**regions, "eu": Trainer("eu", made_store(5), device="cpu")})
    np.testing.assert_allclose(boasting.weights["steadiness"], honest.weights["steadiness"], atol=0.05)


def test_labels_of_one_region_keep_its_anomalies_out_of_what_another_assumes_to_be_normal() -> None:
    number = BY_STATISTICS[0]
    store = made_store(3)
    hidden = {
        purpose: replace(own, labels=np.zeros(len(own), bool), provenance=("assumed",) * len(own))
        for purpose, own in store.sets.items()
    }
    unlabelled = Trainer("us", SetStore(hidden), device="cpu")
    together = round_of(number, {**trainers(("ap", "eu")), "us": unlabelled})
    alone = round_of(number, {"us": unlabelled}, min_regions=1)
    error = next(i for i, text in TEMPLATES.items() if text.startswith("error"))
    assert error in alone.weights["vocabulary"]
    assert error not in together.weights["vocabulary"]
    assert set(TEMPLATES) - {error} <= set(together.weights["vocabulary"].tolist())
