"""The training loop of the torch models: AdamW, one cycle, early stopping, best weights kept."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from models.base import FitReport, Progress, TrainingError
from models.training.local_training import LocalTraining, Loss, Stepper, part_of_round


class LoopSettings(BaseModel):
    """How a network is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: Annotated[int, Field(ge=1)] = Field(60, description="Maximum number of epochs.")
    max_steps: Annotated[int, Field(ge=1)] = Field(
        2000, description="Maximum number of steps: with many examples there are fewer epochs, but at least one."
    )
    patience: Annotated[int, Field(ge=1)] = Field(
        20, description="Epochs worse than the best by the validation figure after which training ends."
    )
    batch_size: Annotated[int, Field(ge=1)] = Field(128, description="Distinct examples in one step.")
    learning_rate: Annotated[float, Field(gt=0)] = Field(2e-3, description="Highest learning rate of the cycle.")
    weight_decay: Annotated[float, Field(ge=0)] = Field(1e-2, description="Weight decay of AdamW.")


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Torch's random numbers start from `seed` inside and go on as before outside."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def planned_epochs(count: int, settings: LoopSettings) -> int:
    """Epochs that `train_network` makes of this many examples where it does not stop early."""
    local = part_of_round()
    return (
        local.epochs if local else max(1, min(settings.epochs, settings.max_steps // -(-count // settings.batch_size)))
    )


def train_network(
    network: torch.nn.Module,
    count: int,
    loss: Loss,
    validate: Callable[[], Mapping[str, float]] | None,
    settings: LoopSettings,
    *,
    seed: int,
    progress: Progress | None = None,
) -> FitReport:
    """Trains in place and leaves the weights of the best epoch in the network.

    Args:
        network: Its parameters are trained.
        count: Number of training examples.
        loss: See `Loss`.
        validate: Figures after an epoch; `val_f1` decides where given (higher is better, of equals the
            later epoch), else `val_loss` (lower is better). None: all epochs are run, the last is kept.
        settings: See the class.
        seed: Of the order of the examples.
        progress: See `models.base.Progress`; the stage is `train`.

    Raises:
        TrainingError: the loss is not finite.
    """
    local = part_of_round()
    epochs = planned_epochs(count, settings)
    rng = np.random.default_rng(seed)
    steps = -(-count // settings.batch_size)
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=max(2, epochs * steps)
    )
    stepper = _stepper(network, optimizer, settings, local)
    history: list[dict[str, float]] = []
    best, best_weights, start = -1, _copy(network), time.perf_counter()
    for epoch in range(epochs):
        network.train()
        total = 0.0
        for index in stepper.epoch(count, steps, rng):
            total += stepper.step(index, loss) * len(index)
            schedule.step()
        network.eval()
        looked = not local or epoch == epochs - 1
        history.append({"loss": total / count, **(validate() if validate and looked else {})})
        if not np.isfinite(total):
            raise TrainingError(f"the loss is {total} in epoch {epoch}; a lower learning_rate may help")
        if best < 0 or local or not validate or _better(history[-1], history[best]):
            best, best_weights = epoch, _copy(network)
        if progress:
            progress("train", epoch + 1, epochs, history[-1])
        if epoch - best >= settings.patience:
            break
    network.load_state_dict(best_weights)
    return FitReport(time.perf_counter() - start, best, tuple(history))


class _Steps:
    """The plain step: every example once an epoch, with the proximal pull where one is asked for."""

    def __init__(self, network: torch.nn.Module, optimizer: torch.optim.Optimizer, proximal_mu: float) -> None:
        self._optimizer = optimizer
        self._mu = proximal_mu
        self._pairs = [(p, p.detach().clone()) for p in network.parameters()] if proximal_mu else []

    def epoch(self, count: int, steps: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
        yield from np.array_split(rng.permutation(count), steps)

    def step(self, index: NDArray[np.int64], loss: Loss) -> float:
        self._optimizer.zero_grad(set_to_none=True)
        value = loss(index)
        pull = [(p - start).square().sum() for p, start in self._pairs]
        (value + self._mu / 2 * torch.stack(pull).sum() if pull else value).backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        return float(value.detach())


def _stepper(
    network: torch.nn.Module, optimizer: torch.optim.Optimizer, settings: LoopSettings, local: LocalTraining | None
) -> Stepper:
    if local and local.stepper:
        return local.stepper(network, optimizer, settings.batch_size)
    return _Steps(network, optimizer, local.proximal_mu if local else 0.0)


def _better(new: Mapping[str, float], old: Mapping[str, float]) -> bool:
    if "val_f1" in new:
        # With few anomalies to validate on, many epochs share the best F1. The learning rate falls to
        # zero along the cycle, so the latest of them has settled most; measured better than lowest loss.
        return new["val_f1"] >= old["val_f1"]
    return new["val_loss"] < old["val_loss"]


def _copy(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}
