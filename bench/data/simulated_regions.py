"""Virtual regions in one process: fixed windows to learn from, and some that do not play by the rules."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from federation.protocol.messages import RegionClient
from federation.protocol.records import HoldoutFigures, ScoreSketch, TrainTask, Update, Weights
from federation.storage.learning import ASSUMED, LearningSet, LineSet, Purpose, Spending
from federation.storage.line_classes import line_set
from models.base import Templates, Windows


class FixedStore:
    """A learning store in memory, of windows dealt out once: 70 % to train on, 10 % to calibrate, 20 % held out."""

    def __init__(self, windows: Windows, labels: NDArray[np.bool_], templates: Templates, *, seed: int,
        known: NDArray[np.bool_] | None = None,
    ) -> None:  # fmt: skip
        """Takes labelled windows.

        Args:
            windows: n windows.
            labels: bool (n,): True = anomalous.
            templates: The text of every id in `windows`.
            seed: Seed of the split.
            known: bool (n,): windows whose label the region has; None: all.
        """
        known = np.ones(len(labels), bool) if known is None else known
        order = np.random.default_rng(seed).permutation(len(labels))
        cuts = np.split(order, [round(0.7 * len(order)), round(0.8 * len(order))])
        parts = dict(zip((Purpose.TRAIN, Purpose.CALIBRATE, Purpose.HOLDOUT), cuts, strict=True))
        rest = np.concatenate([parts[Purpose.CALIBRATE], parts[Purpose.HOLDOUT]])
        self._index: dict[tuple[Purpose, int | None], NDArray[np.int64]] = {(p, None): i for p, i in parts.items()}
        for half in (0, 1):
            self._index[Purpose.TRAIN, half] = parts[Purpose.TRAIN][parts[Purpose.TRAIN] % 2 != half]
            self._index[Purpose.CALIBRATE, half] = rest[rest % 2 != half]
            self._index[Purpose.HOLDOUT, half] = np.flatnonzero(known & (np.arange(len(labels)) % 2 == half))
        self._make = partial(_set, windows, labels, templates, known)
        self._texts = set(templates.values())
        self._book: list[Spending] = []

    def learning_set(self, purpose: Purpose, left_out: int | None = None, serving: int = 0) -> LearningSet:
        """See `federation.region.trainer.LearningStore`; a half is every second window."""
        return self._make(np.sort(self._index[purpose, left_out]))

    def line_set(self, purpose: Purpose) -> LineSet:
        """See `federation.region.line_trainer.LineStore`; the rules alone say what class a template has."""
        return line_set(self._texts, {}, purpose)

    def spend(self, spending: Spending) -> None:
        """See `federation.region.trainer.LearningStore`."""
        self._book.append(spending)

    def spent(self) -> tuple[Spending, ...]:
        """See `federation.region.trainer.LearningStore`."""
        return tuple(self._book)


def _set(
    windows: Windows,
    labels: NDArray[np.bool_],
    templates: Templates,
    known: NDArray[np.bool_],
    index: NDArray[np.int64],
) -> LearningSet:
    chosen = windows.take(index)
    texts = {i: templates[i] for i in np.unique(chosen.ids).tolist()}
    provenance = tuple("labels" if known[i] else ASSUMED for i in index.tolist())
    return LearningSet(chosen, (labels & known)[index], texts, provenance)


Attack = Callable[[Update, Weights], Update]
"""What a hostile region makes of its honest update; the weights are those that it started from."""


def _not_a_number(update: Update, sent: Weights) -> Update:
    return _changed(update, sent, lambda change: np.full_like(change, np.nan))


def _larger(update: Update, sent: Weights) -> Update:
    return _changed(update, sent, lambda change: 50 * change)


def _reversed(update: Update, sent: Weights) -> Update:
    return _changed(update, sent, lambda change: -3 * change)


def _boastful(update: Update, sent: Weights) -> Update:
    return replace(update, examples=10**12)


ATTACKS: Mapping[str, Attack] = {
    "not_a_number": _not_a_number,
    "larger": _larger,
    "reversed": _reversed,
    "boastful": _boastful,
}
"""By name. All but `reversed` are beyond what the guard believes; that one only a robust strategy bears."""


def _changed(update: Update, sent: Weights, how: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Update:
    weights = {
        name: (array + how(update.weights[name] - array)).astype(array.dtype) if array.dtype.kind == "f" else array
        for name, array in sent.items()
    }
    return replace(update, weights=weights)


@dataclass(frozen=True, slots=True)
class HostileRegion:
    """A region that attacks with its updates, and is otherwise the honest one behind it."""

    honest: RegionClient
    attack: Attack

    @property
    def region(self) -> str:
        """Its name."""
        return self.honest.region

    def templates(self, task: TrainTask) -> NDArray[np.int64]:
        """See `RegionClient`."""
        return self.honest.templates(task)

    def train(self, weights: Weights, task: TrainTask) -> Update:
        """See `RegionClient`."""
        return self.attack(self.honest.train(weights, task), weights)

    def calibrate(self, weights: Weights, task: TrainTask) -> ScoreSketch:
        """See `RegionClient`."""
        return self.honest.calibrate(weights, task)

    def evaluate(
        self, candidate: Weights, current: Weights, task: TrainTask, thresholds: tuple[float, float]
    ) -> HoldoutFigures:
        """See `RegionClient`."""
        return self.honest.evaluate(candidate, current, task, thresholds)
