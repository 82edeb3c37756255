import functools
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from federation.errors import RoundFailedError, TrainerError
from federation.flower.local_grid import LocalGrid
from federation.flower.network import FlowerNetwork
from federation.protocol.records import LabelledAnomalies, ModelSpec, Pairs, TrainTask, Update
from federation.region.trainer import Trainer
from federation.round.guard import change_norm, inspect
from federation.round.round import run_round
from federation.round.settings import RoundSettings
from federation.storage.learning import Purpose
from models.base import ModelStoreError, TrainingError
from models.detectors.registry import build
from tests.support.prepared import CountedClock, SetStore, made_set, made_store

SMALL: dict[str, dict[str, Any]] = {
    "bert_cnn": {"projection": 8, "filters": 8, "counts": 4, "mixed": 8, "kernels": (2, 3)},
    "lstm_autoencoder": {"hidden": 12, "latent": 6},
}
Start = tuple[ModelSpec, dict[str, NDArray[Any]]]


@functools.cache
def started(name: str, epochs: int = 1) -> Start:
    """A detector that has seen little, as a round starts from."""
    training = {"epochs": epochs, "batch_size": 16}
    detector = build(name, {"encoder": "hashing:16", **SMALL.get(name, {}), "training": training}, device="cpu")
    seen = made_set(20, 99)
    labels = seen.labels if detector.supervised else None
    windows = seen.windows if detector.supervised else seen.windows.take(np.flatnonzero(~seen.labels))
    detector.fit(windows, labels, seen.templates)
    spec = ModelSpec(name="m", version=1, detector=name, settings=detector.settings(), extra=detector.extra())
    return spec, detector.weights()


def trained(start: Start, region: str = "eu", **task: Any) -> Update:
    document = {"round_id": "r1", "spec": start[0], "local_epochs": 3, **task}
    return Trainer(region, made_store(1), device="cpu").train(start[1], TrainTask.model_validate(document))


@pytest.mark.parametrize("name", SMALL)
def test_a_round_of_real_trainers_betters_the_model(name: str) -> None:
    spec, weights = started(name)
    trainers = {f"r{i}": Trainer(f"r{i}", made_store(i), device="cpu") for i in range(3)}
    settings = RoundSettings.model_validate({"passes": 2, "local_epochs": 10, "margin_region": 1.0})
    result = run_round(FlowerNetwork(LocalGrid(trainers), CountedClock()), settings, spec, weights, 0.99, round_id="r1")
    assert result.refusals == ()
    assert result.accepted, result.reason
    assert result.examples == sum(
        80 if name == "bert_cnn" else int((~made_store(i).sets[Purpose.TRAIN].labels).sum()) for i in range(3)
    )


@pytest.mark.parametrize("name", SMALL)
def test_training_goes_on_from_the_weights_given_and_is_repeatable(name: str) -> None:
    start = started(name)
    first, second = trained(start), trained(start)
    for key in start[1]:
        np.testing.assert_array_equal(first.weights[key], second.weights[key])
    assert inspect([first], start[1], RoundSettings.model_validate({}), 0)[1] == []
    assert change_norm(first.weights, start[1]) > 0
    assert change_norm(trained(start, local_epochs=1).weights, start[1]) < change_norm(first.weights, start[1])
    assert set(first.metrics) == {"train_s", "loss", "anomalous"}
    assert set(trained(start, privacy={"mode": "secagg"}).metrics) == {"train_s"}


def test_passes_and_regions_train_in_an_order_of_their_own() -> None:
    start = started("bert_cnn")
    same = trained(start)
    for other in (trained(start, number=1), trained(start, seed=1), trained(start, region="us")):
        assert change_norm(other.weights, same.weights) > 0


def test_the_proximal_term_holds_the_weights_near_their_start() -> None:
    start = started("bert_cnn")
    free, held, tied = (change_norm(trained(start, proximal_mu=mu).weights, start[1]) for mu in (0.0, 1.0, 100.0))
    assert tied < held < free


def test_what_cannot_be_federated_says_so() -> None:
    spec = ModelSpec(name="m", version=1, detector="isolation", settings={}, extra={})
    with pytest.raises(TrainerError, match=r"isolation cannot be federated; bert_cnn, deeplog, .* can"):
        trained((spec, {}))


def test_a_region_without_anomalies_says_so_and_the_others_go_on() -> None:
    spec, weights = started("bert_cnn")
    trainers = {"eu": Trainer("eu", made_store(1, anomalous_share=0.0), device="cpu")}
    trainers |= {name: Trainer(name, made_store(i), device="cpu") for i, name in enumerate(("us", "ap"), 2)}
    settings = RoundSettings.model_validate({"passes": 1})
    result = run_round(FlowerNetwork(LocalGrid(trainers), CountedClock()), settings, spec, weights, 0.5, round_id="r1")
    assert result.participants == ("ap", "us")
    assert [f.region for f in result.figures] == ["ap", "eu", "us"]
    assert [(r.region, "labelled windows of both classes" in r.reason) for r in result.refusals] == [("eu", True)]


def test_a_failed_round_tells_what_every_region_said() -> None:
    spec = ModelSpec(name="m", version=1, detector="isolation", settings={}, extra={})
    trainers = {name: Trainer(name, made_store(1), device="cpu") for name in ("us", "ap")}
    with pytest.raises(
        RoundFailedError, match=r"step 4, pass 0: 0 regions of 1 .*ap: isolation cannot .*us: isolation cannot"
    ):
        run_round(FlowerNetwork(LocalGrid(trainers)), RoundSettings.model_validate({}), spec, {}, 0.5, round_id="r1")


def test_empty_stores_and_foreign_weights() -> None:
    spec, weights = started("lstm_autoencoder")
    empty = Trainer("eu", made_store(1, count=0), device="cpu")
    with pytest.raises(TrainerError, match="eu has no window to train lstm_autoencoder on"):
        empty.train(weights, TrainTask(round_id="r1", spec=spec))
    assert empty.calibrate(weights, TrainTask(round_id="r1", spec=spec)).normal_count == 0
    assert empty.evaluate(weights, weights, TrainTask(round_id="r1", spec=spec), (0.5, 0.5)).current == (0, 0, 0, 0)
    with pytest.raises(ModelStoreError, match="is missing"):
        trained((spec, {k: v for k, v in weights.items() if k != "output.bias"}))
    with pytest.raises(TrainingError, match="the loss is nan"):
        trained((spec, {k: (v * np.float32(1e38) if k == "output.weight" else v) for k, v in weights.items()}))


def test_holdout_counts_follow_the_thresholds() -> None:
    spec, weights = started("bert_cnn")
    trainer = Trainer("eu", made_store(1), device="cpu")
    figures = trainer.evaluate(weights, weights, TrainTask(round_id="r1", spec=spec), (-1.0, 2.0))
    anomalous = int(made_store(1).sets[Purpose.HOLDOUT].labels.sum())
    assert figures.candidate == (anomalous, 40 - anomalous, 0, 0)
    assert figures.current == (0, 0, anomalous, 40 - anomalous)


def test_calibration_scores_are_given_by_class() -> None:
    spec, weights = started("bert_cnn")
    own = made_store(1).sets[Purpose.CALIBRATE]
    found = Trainer("eu", made_store(1), device="cpu").calibrate(weights, TrainTask(round_id="r1", spec=spec))
    assert (found.normal_count, found.anomalous_count) == (int((~own.labels).sum()), int(own.labels.sum()))


def partly(answered: dict[Purpose, int]) -> SetStore:
    """A store in which so many anomalies of each set have a label, and all other windows count as normal."""
    sets = {}
    for purpose, own in made_store(1).sets.items():
        known = np.zeros(len(own), bool)
        known[np.flatnonzero(own.labels)[: answered[purpose]]] = True
        origins = tuple("feedback" if k else "assumed" for k in known)
        sets[purpose] = replace(own, labels=known, provenance=origins)
    return SetStore(sets)


def test_labelled_anomalies_of_all_sets_are_counted_and_those_outside_the_holdout_are_anchors() -> None:
    spec, weights = started("bert_cnn")
    store = partly({Purpose.TRAIN: 4, Purpose.CALIBRATE: 2, Purpose.HOLDOUT: 0})
    figures = Trainer("eu", store, device="cpu").evaluate(
        weights, weights, TrainTask(round_id="r1", spec=spec), (2.0, -1.0)
    )
    assert figures.known == LabelledAnomalies(feedback=6)
    assert figures.anchors == Pairs(lost=6)
    store = partly({Purpose.TRAIN: 4, Purpose.CALIBRATE: 2, Purpose.HOLDOUT: 3})
    figures = Trainer("eu", store, device="cpu").evaluate(
        weights, weights, TrainTask(round_id="r1", spec=spec), (2.0, -1.0)
    )
    assert (figures.known, figures.anchors) == (LabelledAnomalies(feedback=9), Pairs(lost=6)), "few labels judge"
    figures = Trainer("eu", made_store(1), device="cpu").evaluate(
        weights, weights, TrainTask(round_id="r1", spec=spec), (2.0, -1.0)
    )
    assert figures.anchors == Pairs(), "the holdout judges"


def test_a_few_answers_lend_the_threshold_the_scores_of_the_anomalies_that_were_trained_on() -> None:
    spec, weights = started("bert_cnn")
    found = Trainer("eu", partly({Purpose.TRAIN: 4, Purpose.CALIBRATE: 1, Purpose.HOLDOUT: 0}), device="cpu")
    sketch = found.calibrate(weights, TrainTask(round_id="r1", spec=spec))
    assert (sketch.normal_count, sketch.anomalous_count, sketch.labelled) == (19, 5, False)


def test_a_trainer_at_rest_loads_no_torch_until_it_warms_up() -> None:
    code = (
        "import sys; from federation.region.trainer import Trainer; before = 'torch' in sys.modules; "
        "Trainer.warm_up(); print(before, 'torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.split() == ["False", "True"]
