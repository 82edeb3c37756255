"""Flower's aggregation strategies by name, all fed the same way.

A strategy is given changes (what a region's weights differ by from those sent) in float64, not weights:
all of them commute with that shift, equal updates then give exactly themselves back, and Krum's distances
lose no digits. Arrays of whole numbers are equal in all updates (the guard sees to it) and pass by.
Flower's own choice of nodes is not used: it waits for its minimum for ever (`federation.round.fleet` asks instead).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, Message, Metadata, MetricRecord, RecordDict
from flwr.app.message.message import make_message
from flwr.serverapp.strategy import FedAdam, FedAvg, FedMedian, FedProx, FedTrimmedAvg, MultiKrum
from flwr.serverapp.strategy.strategy import Strategy
from numpy.typing import NDArray

from federation.errors import RoundFailedError, SetupError
from federation.protocol.messages import TRAIN
from federation.protocol.records import Update, Weights, floating
from federation.round.guard import shares
from federation.round.settings import RoundSettings

STRATEGIES: Mapping[str, tuple[Callable[..., Strategy], Mapping[str, float]]] = {
    "fedavg": (FedAvg, {}),
    "fedprox": (FedProx, {"proximal_mu": 0.01}),
    "fedadam": (FedAdam, {"eta": 0.01, "beta_1": 0.9, "beta_2": 0.99, "tau": 1e-3}),
    "fedtrimmedavg": (FedTrimmedAvg, {"beta": 0.2}),
    "fedmedian": (FedMedian, {}),
    "multikrum": (MultiKrum, {"num_malicious_nodes": 1, "num_nodes_to_select": 3}),
}
"""Class and settings by name. FedAdam's rate is a tenth of Flower's, which throws a trained network about."""


def strategy_settings(settings: RoundSettings) -> dict[str, float]:
    """The strategy's settings, defaults where the round sets none.

    Raises:
        SetupError: no such strategy, or it has no such setting.
    """
    if settings.strategy not in STRATEGIES:
        raise SetupError(f"there is no strategy '{settings.strategy}'; known are {', '.join(STRATEGIES)}")
    defaults = STRATEGIES[settings.strategy][1]
    if unknown := sorted(settings.strategy_settings.keys() - defaults.keys()):
        raise SetupError(
            f"strategy {settings.strategy} has no setting '{unknown[0]}'; it has {', '.join(defaults) or 'none'}"
        )
    return {**defaults, **settings.strategy_settings}


def proximal_mu(settings: RoundSettings) -> float:
    """Strength of the pull to the start that regions train with; 0 for every strategy but FedProx."""
    return strategy_settings(settings).get("proximal_mu", 0.0)


class Aggregation:
    """One round's strategy; FedAdam remembers its moments from pass to pass."""

    def __init__(self, settings: RoundSettings) -> None:
        """Builds the strategy.

        Raises:
            SetupError: see `strategy_settings`; or a value is out of the strategy's range.
        """
        self._max_share = settings.max_share
        chosen = strategy_settings(settings)
        whole = {name: int(v) if name.startswith("num_") else v for name, v in chosen.items()}
        try:
            self._strategy = STRATEGIES[settings.strategy][0](**whole)
        except ValueError as error:
            raise SetupError(f"strategy {settings.strategy}: {error}") from error

    def aggregate(self, sent: Weights, updates: Sequence[Update], number: int) -> dict[str, NDArray[Any]]:
        """The new weights, of the names, shapes and dtypes of `sent`.

        Args:
            sent: What the updates start from.
            updates: Those that the guard let pass; their order does not matter.
            number: Of the pass, from 0.

        Raises:
            RoundFailedError: the strategy gave no weights, or weights that are not finite.
        """
        names = floating(sent)
        if isinstance(self._strategy, FedAdam):
            self._strategy.current_arrays = {name: np.zeros(sent[name].shape) for name in names}
        counts = shares([update.examples for update in updates], self._max_share)
        weighed = sorted(zip(updates, counts, strict=True), key=lambda pair: pair[0].region)
        replies = [_reply(sent, update, count, names) for update, count in weighed]
        record, _ = self._strategy.aggregate_train(number + 1, replies)
        if record is None:
            raise RoundFailedError(f"step 5, pass {number}: the strategy gave no weights for {len(replies)} updates")
        found = {name: np.array(array) for name, array in sent.items()}
        for name in names:
            found[name] = (sent[name].astype(np.float64) + record[name].numpy()).astype(sent[name].dtype)
            if not np.isfinite(found[name]).all():
                raise RoundFailedError(f"step 5, pass {number}: the aggregate of '{name}' is not finite")
        return found


def _reply(sent: Weights, update: Update, count: int, names: Sequence[str]) -> Message:
    changes = {n: update.weights[n].astype(np.float64) - sent[n].astype(np.float64) for n in names}
    figures = MetricRecord({"num-examples": count})
    record = ArrayRecord({name: Array(np.asarray(change, order="C")) for name, change in changes.items()})
    return make_message(Metadata(0, "", 0, 0, "", "", 0.0, 1.0, TRAIN), RecordDict({"a": record, "m": figures}))
