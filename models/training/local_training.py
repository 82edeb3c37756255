"""How one region trains within a federated round. Imports no torch: a node at rest does without it."""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Loss = Callable[[NDArray[np.int64]], "torch.Tensor"]
"""Mean loss, with gradient, of the training examples at an index."""


class Stepper(Protocol):
    """Stands in for the plain optimizer step, such as one with differential privacy."""

    def epoch(self, count: int, steps: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
        """The examples of each step, of `count` in all."""
        ...

    def step(self, index: NDArray[np.int64], loss: Loss) -> float:
        """Makes one step from these examples; returns their mean loss, 0 if there are none."""
        ...


@dataclass(frozen=True, slots=True)
class LocalTraining:
    """How one region trains within a federated round.

    Exactly `epochs` epochs are made and the last one's weights kept: a region's few validation windows
    must not choose for all, and choosing by them would reveal them; they are evaluated after the last
    epoch only. `proximal_mu` is the strength of
    FedProx's pull to the start (https://arxiv.org/abs/1812.06127). `stepper` is made from network,
    optimizer and examples a step.
    """

    epochs: int
    proximal_mu: float = 0.0
    stepper: "Callable[[torch.nn.Module, torch.optim.Optimizer, int], Stepper] | None" = None


_LOCAL: ContextVar[LocalTraining | None] = ContextVar("local training", default=None)


@contextlib.contextmanager
def within_round(local: LocalTraining) -> Iterator[None]:
    """Training inside this context is a region's part of a federated round."""
    token = _LOCAL.set(local)
    try:
        yield
    finally:
        _LOCAL.reset(token)


def part_of_round() -> LocalTraining | None:
    """The federated round that training here is a part of, if it is."""
    return _LOCAL.get()
