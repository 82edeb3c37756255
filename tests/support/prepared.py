"""Regions for rounds without a network: they answer with prepared arrays."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flwr.app import Message
from numpy.typing import NDArray

from federation.flower.local_grid import LocalGrid
from federation.protocol.calibration import sketch_scores
from federation.protocol.messages import RegionClient
from federation.protocol.records import HoldoutFigures, ModelSpec, Pairs, ScoreSketch, TrainTask, Update, Weights
from federation.round.settings import RoundSettings
from federation.storage.learning import LearningSet, LineSet, Purpose, Spending
from models.base import Windows, template_id


@dataclass
class PreparedRegion:
    """Moves every float array by `step` towards nothing in particular; `reply` may spoil its updates."""

    region: str
    examples: int = 100
    step: float = 1.0
    spoil: Callable[[Update], Update] = lambda update: update
    current: tuple[int, int, int, int] = (5, 3, 5, 87)
    candidate: tuple[int, int, int, int] = (9, 1, 1, 89)
    tasks: list[TrainTask] = field(default_factory=list)
    thresholds: tuple[float, float] = (0.0, 0.0)
    named: tuple[int, ...] = ()

    def templates(self, task: TrainTask) -> NDArray[np.int64]:
        return np.array(self.named, np.int64)

    def train(self, weights: Weights, task: TrainTask) -> Update:
        self.tasks.append(task)
        moved = {k: v + np.float32(self.step) if v.dtype == np.float32 else v for k, v in weights.items()}
        return self.spoil(Update(self.region, moved, self.examples, {"loss": 0.5}))

    def calibrate(self, weights: Weights, task: TrainTask) -> ScoreSketch:
        scores = np.array([0.1, 0.2, 0.9], np.float32)
        return sketch_scores(self.region, scores, np.array([False, False, True]))

    def evaluate(
        self, candidate: Weights, current: Weights, task: TrainTask, thresholds: tuple[float, float]
    ) -> HoldoutFigures:
        self.thresholds = thresholds
        return figures(self.region, self.current, self.candidate)


def figures(region: str, current: tuple[int, ...], candidate: tuple[int, ...]) -> HoldoutFigures:
    """Holdout figures in which the two models differ in as few sessions as their totals allow."""
    found, raised = candidate[0] - current[0], candidate[1] - current[1]
    pairs = Pairs(max(found, 0), max(-found, 0), max(-raised, 0), max(raised, 0))
    return HoldoutFigures(region, current, candidate, pairs)


class FaultyGrid(LocalGrid):
    """A grid on which some regions never answer questions of some kinds."""

    def __init__(self, regions: Mapping[str, RegionClient], silent: Mapping[str, tuple[str, ...]]) -> None:
        super().__init__(regions)
        self.silent = silent
        self.asked: list[tuple[str, str]] = []

    def reply(self, region: RegionClient, message: Message) -> Message | None:
        kind = message.metadata.message_type
        self.asked.append((region.region, kind))
        return None if kind in self.silent.get(region.region, ()) else super().reply(region, message)


class CountedClock:
    """Time passes only in `sleep`."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


SPEC = ModelSpec(name="hdfs", version=1, kind="detector", detector="bert_cnn", settings={}, extra={})


def settings(**changes: Any) -> RoundSettings:
    """Round settings with few passes."""
    return RoundSettings.model_validate({"passes": 2, **changes})


WEIGHTS: Weights = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.full(4, 0.5, np.float32),
    "ids": np.array([3, 5], np.int64),
}
"""A small model: two float arrays and one of whole numbers."""


class SetStore:
    """A learning store of fixed sets."""

    def __init__(
        self, sets: Mapping[Purpose, LearningSet] | None = None, lines: Mapping[Purpose, LineSet] | None = None
    ) -> None:
        self.sets = sets or {}
        self.lines = lines or {}
        self.book: list[Spending] = []

    def spend(self, spending: Spending) -> None:
        """See `LearningStore`."""
        self.book.append(spending)

    def spent(self) -> tuple[Spending, ...]:
        """See `LearningStore`."""
        return tuple(self.book)

    def line_set(self, purpose: Purpose) -> LineSet:
        """See `LearningStore`."""
        return self.lines[purpose]

    def learning_set(self, purpose: Purpose, left_out: int | None = None, serving: int = 0) -> LearningSet:
        """See `LearningStore`; every second window of a set belongs to a half, for any purpose."""
        own = self.sets[purpose]
        if left_out is None:
            return own
        other = np.arange(len(own)) % 2 != left_out
        return own.subset(~other if purpose is Purpose.HOLDOUT else other)


TEMPLATES = {template_id(text): text for text in ("open <*>", "read <*>", "write <*>", "close <*>", "error <*>")}


def made_set(count: int, seed: int, anomalous_share: float = 0.25) -> LearningSet:
    """Windows of 4 to 9 lines; an anomalous one has an error in it."""
    rng = np.random.default_rng(seed)
    ids = list(TEMPLATES)
    labels = rng.random(count) < anomalous_share
    rows = [rng.choice(ids[:4], rng.integers(4, 9)).tolist() for _ in range(count)]
    for row, anomalous in zip(rows, labels.tolist(), strict=True):
        if anomalous:
            row.insert(int(rng.integers(len(row))), ids[4])
    return LearningSet(Windows.of(rows), labels, TEMPLATES, ("labels",) * count)


def made_store(seed: int, count: int = 80, anomalous_share: float = 0.25) -> SetStore:
    """A store whose sets are drawn alike."""
    sizes = {Purpose.TRAIN: count, Purpose.CALIBRATE: count // 4, Purpose.HOLDOUT: count // 2}
    return SetStore({p: made_set(n, 10 * seed + i, anomalous_share) for i, (p, n) in enumerate(sizes.items())})
