"""Aggregation strategies by name. A new strategy is a file with one class, and one line here."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from federation.errors import RoundFailedError, SetupError
from federation.protocol.records import Update, Weights, floating
from federation.round.flower_strategies import FedAdam, FedAvg, FedMedian, FedProx, FedTrimmedAvg, MultiKrum
from federation.round.guard import shares
from federation.round.settings import RoundSettings
from federation.round.strategy import Changes, Strategy

STRATEGIES: Mapping[str, type[Strategy]] = {
    "fedavg": FedAvg,
    "fedprox": FedProx,
    "fedadam": FedAdam,
    "fedtrimmedavg": FedTrimmedAvg,
    "fedmedian": FedMedian,
    "multikrum": MultiKrum,
}


def build_strategy(name: str, settings: Mapping[str, float]) -> Strategy:
    """The strategy called `name`, with defaults for the settings that are not given.

    Raises:
        SetupError: there is no such strategy or setting, or a value is out of range.
    """
    if name not in STRATEGIES:
        raise SetupError(f"unknown strategy '{name}'; known are {', '.join(STRATEGIES)}")
    defaults = STRATEGIES[name].defaults
    if unknown := sorted(settings.keys() - defaults.keys()):
        raise SetupError(f"strategy {name} has no setting '{unknown[0]}'; it has {', '.join(defaults) or 'none'}")
    try:
        return STRATEGIES[name]({key: type(value)(settings.get(key, value)) for key, value in defaults.items()})
    except ValueError as error:
        raise SetupError(f"strategy {name}: {error}") from error


class Aggregation:
    """Applies the strategy of one round to the updates of each pass.

    Attributes:
        strategy: The strategy.
    """

    def __init__(self, settings: RoundSettings) -> None:
        """Build the strategy.

        Raises:
            SetupError: see `build_strategy`.
        """
        self.strategy = build_strategy(settings.strategy, settings.strategy_settings)
        self._max_share = settings.max_share

    def aggregate(self, sent: Weights, updates: Sequence[Update], number: int) -> dict[str, NDArray[Any]]:
        """The new weights, with the names, shapes and dtypes of `sent`.

        Args:
            sent: Weights that the updates start from.
            updates: Updates that the guard accepted; their order does not matter.
            number: Pass, from 0.

        Raises:
            RoundFailedError: the strategy returned no weights, or weights that are not finite.
        """
        names = floating(sent)
        ordered = sorted(updates, key=lambda update: update.region)
        counts = shares([update.examples for update in ordered], self._max_share)
        change = self.strategy.combine([_change(sent, update, names) for update in ordered], counts, number)
        if change is None:
            raise RoundFailedError(f"step 5, pass {number}: the strategy made no weights of {len(ordered)} updates")
        found = {name: np.array(array) for name, array in sent.items()}
        for name in names:
            found[name] = (sent[name].astype(np.float64) + change[name]).astype(sent[name].dtype)
            if not np.isfinite(found[name]).all():
                raise RoundFailedError(f"step 5, pass {number}: the aggregate of '{name}' is not finite")
        return found


def _change(sent: Weights, update: Update, names: Sequence[str]) -> Changes:
    return {name: update.weights[name].astype(np.float64) - sent[name].astype(np.float64) for name in names}
