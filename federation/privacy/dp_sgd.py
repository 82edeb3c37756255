"""Record-level differential privacy: DP-SGD in a region's trainer, and its accounting.

Abadi et al., 2016, https://arxiv.org/abs/1607.00133. Opacus clips, adds the noise and accounts. Its hooks work
on layers only, and our networks fold their first layer into tables that the whole batch shares; so the gradient of
every window is computed separately, which any network allows.

Sampling and noise take their randomness from the operating system: with a seed known to the coordinator, it
could subtract the noise. The spending is recorded before the training and added up over all rounds of the
region, so neither a crash nor a new model loses it.
"""

import functools
import secrets
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from opacus.accountants import RDPAccountant  # type: ignore[import-untyped]
from opacus.accountants.analysis.rdp import compute_rdp, get_privacy_spent  # type: ignore[import-untyped]
from opacus.optimizers import DPOptimizer  # type: ignore[import-untyped]

from federation.errors import BudgetSpentError, TrainerError
from federation.protocol.records import PrivacySettings
from federation.storage.learning import LearningStore, Spending
from models.training.local_training import Loss

ORDERS = RDPAccountant.DEFAULT_ALPHAS


def epsilon(spent: Sequence[Spending], delta: float) -> float:
    """Total cost of all these trainings by Renyi accounting; 0 without any."""
    if not spent:
        return 0.0
    renyi = sum(s.steps * _cost_of_step(s.noise_multiplier, s.sample_rate) for s in spent)
    with warnings.catch_warnings():
        # Opacus warns when the best order is at an end of the range; the bound is then valid, only loose.
        warnings.simplefilter("ignore")
        return float(get_privacy_spent(orders=ORDERS, rdp=renyi, delta=delta)[0])


@functools.cache  # every training is accounted again in each that follows
def _cost_of_step(noise_multiplier: float, sample_rate: float) -> NDArray[np.float64]:
    """Renyi differential privacy of a single step, at each of `ORDERS`."""
    renyi = compute_rdp(q=sample_rate, noise_multiplier=noise_multiplier, steps=1, orders=ORDERS)
    return np.asarray(renyi, np.float64)


class PrivateSteps:
    """Training steps with differential privacy; see `models.training.local_training.Stepper`."""

    def __init__(
        self, network: torch.nn.Module, optimizer: torch.optim.Optimizer, batch: int, *, epochs: int,
        settings: PrivacySettings, store: LearningStore, round_id: str, passes_left: int = 1,
    ) -> None:  # fmt: skip
        """Spend nothing yet.

        Args:
            network: Network to train.
            optimizer: Optimizer of its parameters.
            batch: Mean number of windows in a step.
            epochs: Number of epochs of the training.
            settings: Clipping, noise and budget.
            store: Store of the region, which records the spending.
            round_id: Round that is charged.
            passes_left: Trainings of the round from this one on. If the budget does not cover all of them, none is
                made: the result of a part of a round is never published.
        """
        self._parameters = [p for p in network.parameters() if p.requires_grad]
        self._batch = batch
        self._epochs = epochs
        self._settings = settings
        self._store = store
        self._round_id = round_id
        self._passes_left = passes_left
        self._steps_left: int | None = None
        self._rng = np.random.default_rng(secrets.randbits(128))
        noise = torch.Generator(device=self._parameters[0].device)
        noise.manual_seed(secrets.randbits(63))
        self._optimizer = DPOptimizer(
            optimizer, noise_multiplier=settings.noise_multiplier, max_grad_norm=settings.max_grad_norm,
            expected_batch_size=batch, generator=noise,
        )  # fmt: skip

    def epoch(self, count: int, steps: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
        """Draw every window into a step with the same probability, independently of the others (Poisson sampling).

        Raises:
            BudgetSpentError: the round would exceed the region's budget; nothing is charged for this training.
            TrainerError: more steps are asked for than were charged.
        """
        rate = min(1.0, self._batch / count)
        if self._steps_left is None:
            self._steps_left = steps * self._epochs
            self._charge(Spending(self._round_id, self._settings.noise_multiplier, rate, self._steps_left))
        for _ in range(steps):
            if not self._steps_left:
                raise TrainerError("the training makes more steps than the privacy budget was charged for")
            self._steps_left -= 1
            yield np.flatnonzero(self._rng.random(count) < rate)

    def _charge(self, spending: Spending) -> None:
        spent = self._store.spent()
        after = epsilon([*spent, *[spending] * self._passes_left], self._settings.delta)
        if after > self._settings.epsilon:
            raise BudgetSpentError(
                f"epsilon is {epsilon(spent, self._settings.delta):.2f} after {len(spent)} trainings, and would be "
                f"{after:.2f} after the {self._passes_left} that the round still needs; the budget is "
                f"{self._settings.epsilon:g}"
            )
        self._store.spend(spending)

    def step(self, index: NDArray[np.int64], loss: Loss) -> float:
        """Make one step: gradients of single windows, clipped, summed, with noise; also without any window."""
        self._optimizer.zero_grad(set_to_none=True)
        samples: list[list[torch.Tensor]] = [[] for _ in self._parameters]
        total = 0.0
        for i in index.tolist():
            value = loss(np.array([i]))
            gradients = torch.autograd.grad(value, self._parameters, allow_unused=True)
            total += float(value.detach())
            for kept, p, gradient in zip(samples, self._parameters, gradients, strict=True):
                kept.append(torch.zeros_like(p) if gradient is None else gradient)
        for p, kept in zip(self._parameters, samples, strict=True):
            p.grad_sample = torch.stack(kept) if kept else p.new_zeros((0, *p.shape))  # type: ignore[attr-defined]
        self._optimizer.step()
        return total / max(1, len(index))
