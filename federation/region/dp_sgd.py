"""Record-level differential privacy: DP-SGD in a region's trainer, and what it has cost so far.

Abadi et al., 2016, https://arxiv.org/abs/1607.00133. A record is a distinct window with its label: whether
one more such window was in the training set hardly shows in the weights that leave the region. Opacus
clips, adds the noise and accounts. Its hooks, though, know layers, and our networks fold their first layer into tables
shared by the whole batch; so every window's gradient is computed by itself, which any network allows.

Sampling and noise take their randomness from the operating system: a seed that the coordinator knows
would let it take the noise away again. What is spent is written down before the training, over all
rounds of the region, so neither a crash nor a new model makes it forgotten.
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
from models.training.train_loop import Loss

ORDERS = RDPAccountant.DEFAULT_ALPHAS


def epsilon(spent: Sequence[Spending], delta: float) -> float:
    """What all of these trainings have cost together, by Renyi accounting; 0 where there were none."""
    if not spent:
        return 0.0
    renyi = sum(s.steps * _of_a_step(s.noise_multiplier, s.sample_rate) for s in spent)
    with warnings.catch_warnings():
        # Told where the best order is the first or the last of those tried: the bound then holds and is loose.
        warnings.simplefilter("ignore")
        return float(get_privacy_spent(orders=ORDERS, rdp=renyi, delta=delta)[0])


@functools.cache  # every training is accounted anew in each that follows it
def _of_a_step(noise_multiplier: float, sample_rate: float) -> NDArray[np.float64]:
    """Renyi differential privacy of a single step, at each of `ORDERS`."""
    renyi = compute_rdp(q=sample_rate, noise_multiplier=noise_multiplier, steps=1, orders=ORDERS)
    return np.asarray(renyi, np.float64)


class PrivateSteps:
    """Steps with differential privacy; see `models.training.train_loop.Stepper`."""

    def __init__(
        self, network: torch.nn.Module, optimizer: torch.optim.Optimizer, batch: int, *, epochs: int,
        settings: PrivacySettings, book: LearningStore, round_id: str,
    ) -> None:  # fmt: skip
        """Spends nothing yet.

        Args:
            network: Is trained.
            optimizer: Of its parameters.
            batch: Windows of a step in the mean.
            epochs: How many there will be.
            settings: Clipping, noise and budget.
            book: Of the region.
            round_id: For the book.
        """
        self._parameters = [p for p in network.parameters() if p.requires_grad]
        self._batch = batch
        self._epochs = epochs
        self._settings = settings
        self._book = book
        self._round_id = round_id
        self._left: int | None = None
        self._rng = np.random.default_rng(secrets.randbits(128))
        noise = torch.Generator(device=self._parameters[0].device)
        noise.manual_seed(secrets.randbits(63))
        self._optimizer = DPOptimizer(
            optimizer, noise_multiplier=settings.noise_multiplier, max_grad_norm=settings.max_grad_norm,
            expected_batch_size=batch, generator=noise,
        )  # fmt: skip

    def epoch(self, count: int, steps: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
        """Every window is in a step with the same probability, whatever the others do (Poisson sampling).

        Raises:
            BudgetSpentError: the whole training would exceed the region's budget.
            TrainerError: more steps are asked for than were paid for.
        """
        rate = min(1.0, self._batch / count)
        if self._left is None:
            self._left = steps * self._epochs
            self._pay(Spending(self._round_id, self._settings.noise_multiplier, rate, self._left))
        for _ in range(steps):
            if not self._left:
                raise TrainerError("more steps were to be made than the privacy budget was charged for")
            self._left -= 1
            yield np.flatnonzero(self._rng.random(count) < rate)

    def _pay(self, spending: Spending) -> None:
        spent = self._book.spent()
        after = epsilon([*spent, spending], self._settings.delta)
        if after > self._settings.epsilon:
            raise BudgetSpentError(
                f"epsilon is {epsilon(spent, self._settings.delta):.2f} after {len(spent)} trainings, and would be "
                f"{after:.2f} after this one; the budget is {self._settings.epsilon:g}"
            )
        self._book.spend(spending)

    def step(self, index: NDArray[np.int64], loss: Loss) -> float:
        """One step: gradients of single windows, clipped, added up, made noisy. It is made for no window, too."""
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
