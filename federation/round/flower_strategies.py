"""Strategies whose arithmetic is Flower's; its choice of nodes and its waiting are not used."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import strategy as flower

from federation.round.strategy import Changes, Strategy


@dataclass(frozen=True, slots=True)
class _Reply:
    """The part of a `Message` that Flower's strategies read; a real one needs the identity of a running task."""

    content: RecordDict

    def has_error(self) -> bool:
        return False


class FlowerStrategy(Strategy):
    """Passes changes to a strategy of Flower as replies.

    Attributes:
        made_by: Class of Flower.
    """

    made_by: ClassVar[Callable[..., flower.FedAvg]]

    def __init__(self, settings: Mapping[str, float]) -> None:
        """See `Strategy`."""
        self._strategy = self.made_by(**settings)
        self._settings = settings

    def combine(self, changes: Sequence[Changes], counts: Sequence[int], number: int) -> Changes | None:
        """See `Strategy`."""
        replies = [cast(Message, _reply(change, count)) for change, count in zip(changes, counts, strict=True)]
        record, _ = self._strategy.aggregate_train(number + 1, replies)
        return None if record is None else {name: array.numpy() for name, array in record.items()}


def _reply(change: Changes, count: int) -> _Reply:
    arrays = ArrayRecord({name: Array(np.asarray(array, order="C")) for name, array in change.items()})
    return _Reply(RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": count})}))


class FedAvg(FlowerStrategy):
    """Mean weighted by windows (https://arxiv.org/abs/1602.05629)."""

    made_by = flower.FedAvg
    is_mean = True


class FedProx(FlowerStrategy):
    """FedAvg with a proximal term in the local training (https://arxiv.org/abs/1812.06127)."""

    made_by = flower.FedProx
    defaults: ClassVar[Mapping[str, float]] = {"proximal_mu": 0.01}
    is_mean = True

    @property
    def proximal_mu(self) -> float:
        """The setting."""
        return self._settings["proximal_mu"]


class FedAdam(FlowerStrategy):
    """Adam on the mean change (https://arxiv.org/abs/2003.00295); its moments are kept from pass to pass.

    The default rate is a tenth of Flower's, at which a trained network loses what it has learned.
    """

    made_by = flower.FedAdam
    defaults: ClassVar[Mapping[str, float]] = {"eta": 0.01, "beta_1": 0.9, "beta_2": 0.99, "tau": 1e-3}

    def combine(self, changes: Sequence[Changes], counts: Sequence[int], number: int) -> Changes | None:
        """See `Strategy`."""
        # Flower subtracts the current weights from the mean; a change has nothing to subtract.
        zeros = {name: np.zeros(array.shape) for name, array in changes[0].items()}
        cast(flower.FedAdam, self._strategy).current_arrays = zeros
        return super().combine(changes, counts, number)


class FedTrimmedAvg(FlowerStrategy):
    """Mean without the share `beta` of the smallest and of the largest values, by position; ignores counts."""

    made_by = flower.FedTrimmedAvg
    defaults: ClassVar[Mapping[str, float]] = {"beta": 0.2}


class FedMedian(FlowerStrategy):
    """Median by position; ignores counts."""

    made_by = flower.FedMedian


class MultiKrum(FlowerStrategy):
    """Mean of the updates that are closest to the others (https://arxiv.org/abs/1703.02757)."""

    made_by = flower.MultiKrum
    defaults: ClassVar[Mapping[str, float]] = {"num_malicious_nodes": 1, "num_nodes_to_select": 3}
