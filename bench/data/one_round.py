"""One round between regions in this process: the model before it, and what serves after it."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data.detection_data import Labelled
from bench.data.simulated_regions import FixedStore
from federation.coordinator.round_records import made_with
from federation.errors import RoundFailedError
from federation.flower.local_grid import LocalGrid
from federation.flower.network import FlowerNetwork
from federation.protocol.messages import RegionClient
from federation.protocol.records import UNLABELLED, LabelledAnomalies, ModelSpec, Weights
from federation.region.trainer import Trainer
from federation.round.round import run_round
from federation.round.settings import RoundSettings
from models.detectors.registry import build
from models.train_detector import TrainSettings, train
from models.training.metrics import Confusion, confusion
from models.training.scoring import WindowScorer


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model in service."""

    spec: ModelSpec
    weights: Weights
    threshold: float
    made_with: LabelledAnomalies = UNLABELLED


def trained_alone(
    learn: Labelled, cache: Path, *, detector: str = "bert_cnn", settings: Mapping[str, Any], labelled: bool = True,
    seed: int = 0,
) -> ServedModel:  # fmt: skip
    """A model as one region alone would train it; its threshold needs labels only where there are some."""
    logging.getLogger("flwr").setLevel(logging.WARNING)
    chosen = TrainSettings(detector=detector, settings=dict(settings), seed=seed)
    labels = learn.labels if labelled else None
    trained = train(learn.windows, labels, learn.templates, chosen, device="cpu", cache=cache)
    spec = ModelSpec(
        name="m", version=1, detector=detector, settings=trained.detector.settings(), extra=trained.detector.extra()
    )
    return ServedModel(spec, trained.detector.weights(), trained.threshold, made_with(trained.notes))


def region_of(name: str, learn: Labelled, cache: Path, seed: int, *, known: NDArray[np.bool_] | None = None) -> Trainer:
    """A region that learns from these windows; those whose label is not `known` count as normal. None: all are."""
    store = FixedStore(learn.windows, learn.labels, learn.templates, seed=seed, known=known)
    return Trainer(name, store, device="cpu", cache=cache)


def after_round(
    start: ServedModel, regions: Mapping[str, RegionClient], settings: RoundSettings
) -> Mapping[str, ServedModel]:
    """What each region serves after a round: the candidate where the gate lets it take it, else the model before it."""
    network, served = FlowerNetwork(LocalGrid(regions)), dict.fromkeys(regions, start)
    try:
        result = run_round(
            network, settings, start.spec, start.weights, start.threshold, round_id="r", made_with=start.made_with
        )
    except RoundFailedError as error:
        logging.getLogger(__name__).info("%s: %s", ", ".join(regions), error)
        return served
    logging.getLogger(__name__).info("%s: %s", ", ".join(regions), result.reason)
    candidate = ServedModel(start.spec, result.weights, result.threshold, result.known)
    return served | {region: candidate for region in regions if result.adopted_by(region)}


def judged(model: ServedModel, test: Labelled, cache: Path) -> Confusion:
    """Counts of a model on windows that no region has learnt from."""
    return confusion(scores_of(model, test, cache), test.labels, model.threshold)


def scores_of(model: ServedModel, data: Labelled, cache: Path) -> NDArray[np.float32]:
    """Scores of windows, float32 (n,)."""
    detector = build(model.spec.detector, model.spec.settings, device="cpu", cache=cache)
    detector.load_weights(model.weights, model.spec.extra)
    detector.learn_templates(data.templates)
    return WindowScorer(detector, 1, model.threshold).score(data.windows)
