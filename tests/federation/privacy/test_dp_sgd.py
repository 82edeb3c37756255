import math
from typing import Any

import numpy as np
import pytest
import torch
from opacus.accountants import RDPAccountant  # type: ignore[import-untyped]
from pydantic import ValidationError

from federation.errors import BudgetSpentError, TrainerError
from federation.privacy.dp_sgd import PrivateSteps, epsilon
from federation.protocol.records import ModelSpec, PrivacySettings, TrainTask
from federation.region.trainer import Trainer
from federation.round.guard import change_norm, inspect
from federation.round.settings import RoundSettings
from federation.storage.learning import Spending
from tests.federation.region.test_trainer import started
from tests.support.prepared import SetStore, made_store


def private(**changes: Any) -> PrivacySettings:
    return PrivacySettings.model_validate({"mode": "dp", "epsilon": 100.0, **changes})


class Slopes(torch.nn.Module):
    """One weight a window: the gradient of window i is `slope[i]` at place i."""

    def __init__(self, slopes: list[float]) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(len(slopes)))
        self.unused = torch.nn.Parameter(torch.zeros(1))
        self.slopes = torch.tensor(slopes)

    def loss(self, index: np.ndarray) -> torch.Tensor:
        at = torch.from_numpy(index)
        return (self.weight[at] * self.slopes[at]).mean()


def stepped(slopes: list[float], batch: int, windows: int, **changes: Any) -> torch.Tensor:
    """What one step of plain gradient descent of rate 1 over the first windows does to the weights."""
    network = Slopes(slopes)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    steps = PrivateSteps(
        network,
        optimizer,
        batch,
        epochs=1,
        settings=private().model_copy(update=changes),
        store=made_store(1),
        round_id="r1",
    )
    steps.step(np.arange(windows), network.loss)
    return network.weight.detach()


@pytest.mark.parametrize("noise", [0.0, 1e-308, 0.099, 1_001.0, float("nan"), float("inf")])
def test_noise_that_would_keep_the_accountant_busy_for_ever_is_refused(noise: float) -> None:
    with pytest.raises(ValidationError, match="noise_multiplier"):
        private(noise_multiplier=noise)


def test_the_gradient_of_every_window_is_clipped_by_itself() -> None:
    moved = stepped([0.5, 30.0, -4.0], 3, 3, noise_multiplier=1e-9, max_grad_norm=2.0)
    np.testing.assert_allclose(moved.numpy(), [-0.5 / 3, -2.0 / 3, 2.0 / 3], rtol=1e-5)


def test_noise_is_added_as_told_and_differs_every_time() -> None:
    first = stepped([0.0] * 20_000, 1, 3, noise_multiplier=1.5, max_grad_norm=2.0)
    assert float(first.std()) == pytest.approx(3.0, rel=0.05)
    again = stepped([0.0] * 20_000, 1, 3, noise_multiplier=1.5, max_grad_norm=2.0)
    assert not torch.equal(first, again)


def test_a_step_without_a_window_is_noise_alone() -> None:
    network = Slopes([1.0] * 5000)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    settings = private(noise_multiplier=1.0, max_grad_norm=1.0)
    steps = PrivateSteps(network, optimizer, 2, epochs=1, settings=settings, store=made_store(1), round_id="r1")
    assert steps.step(np.zeros(0, np.int64), network.loss) == 0.0
    assert float(network.weight.detach().std()) == pytest.approx(0.5, rel=0.1)


def test_windows_are_drawn_independently_with_the_accounted_rate() -> None:
    network, store = Slopes([1.0]), made_store(1)
    steps = PrivateSteps(
        network, torch.optim.SGD(network.parameters(), lr=1.0), 100, epochs=1,
        settings=private(noise_multiplier=50.0), store=store, round_id="r1",
    )  # fmt: skip
    sizes = [len(index) for index in steps.epoch(1000, 400, np.random.default_rng(0))]
    assert np.mean(sizes) == pytest.approx(100, abs=3)
    assert np.std(sizes) == pytest.approx(math.sqrt(1000 * 0.1 * 0.9), rel=0.2)
    assert store.book == [Spending("r1", 50.0, 0.1, 400)]


def test_no_step_is_made_that_was_not_paid_for() -> None:
    network, store = Slopes([1.0]), made_store(1)
    steps = PrivateSteps(
        network, torch.optim.SGD(network.parameters(), lr=1.0), 100, epochs=1,
        settings=private(noise_multiplier=50.0), store=store, round_id="r1",
    )  # fmt: skip
    assert len(list(steps.epoch(1000, 4, np.random.default_rng(0)))) == 4
    with pytest.raises(TrainerError, match="more steps than"):
        list(steps.epoch(1000, 4, np.random.default_rng(0)))


def task(spec: ModelSpec, settings: PrivacySettings, **changes: Any) -> TrainTask:
    return TrainTask.model_validate({"round_id": "r1", "spec": spec, "local_epochs": 2, "privacy": settings, **changes})


@pytest.mark.parametrize("name", ["bert_cnn", "lstm_autoencoder"])
def test_epsilon_is_that_of_opacus_accountant_over_all_rounds(name: str) -> None:
    spec, weights = started(name)
    store = made_store(1)
    trainer = Trainer("eu", store, device="cpu")
    accountant = RDPAccountant()
    before = 0.0
    for number in range(2):
        update = trainer.train(weights, task(spec, private(noise_multiplier=2.0), number=number))
        spending = store.spent()[-1]
        for _ in range(spending.steps):
            accountant.step(noise_multiplier=2.0, sample_rate=spending.sample_rate)
        assert update.metrics["epsilon"] == pytest.approx(accountant.get_epsilon(1e-5))
        assert update.metrics["epsilon"] > before
        assert set(update.metrics) == {"train_s", "epsilon"}  # the loss and the classes' counts carry no noise
        before = update.metrics["epsilon"]
        assert inspect([update], weights, RoundSettings.model_validate({}), 0)[1] == []
        assert change_norm(update.weights, weights) > 0
    distinct = len({tuple(store.sets["train"].windows.row(i)) for i in range(80)})  # type: ignore[index]
    assert spending.sample_rate == pytest.approx(16 / distinct) or name == "lstm_autoencoder"


def test_the_same_task_twice_gives_different_noise() -> None:
    spec, weights = started("bert_cnn")
    first, second = (Trainer("eu", made_store(1), device="cpu").train(weights, task(spec, private())) for _ in range(2))
    assert change_norm(first.weights, second.weights) > 0


def test_past_the_budget_nothing_is_trained_and_nothing_spent() -> None:
    spec, weights = started("bert_cnn")
    store = made_store(1)
    trainer = Trainer("eu", store, device="cpu")
    settings = private(noise_multiplier=2.0)
    one = trainer.train(weights, task(spec, settings)).metrics["epsilon"]
    tight = private(noise_multiplier=2.0, epsilon=one * 1.01)
    with pytest.raises(
        BudgetSpentError, match=rf"epsilon is {one:.2f} after 1 trainings, and would be .* the budget is"
    ):
        trainer.train(weights, task(spec, tight))
    assert len(store.spent()) == 1


def test_a_round_that_cannot_be_paid_to_its_end_is_refused_before_its_first_pass() -> None:
    spec, weights = started("bert_cnn")
    store = made_store(1)
    trainer = Trainer("eu", store, device="cpu")
    settings = private(noise_multiplier=2.0)
    one = trainer.train(weights, task(spec, settings)).metrics["epsilon"]
    two = epsilon(store.spent() * 2, settings.delta)
    enough = private(noise_multiplier=2.0, epsilon=(two + one) / 2)
    with pytest.raises(BudgetSpentError, match=r"after the 2 that the round still needs; the budget is"):
        trainer.train(weights, task(spec, enough, passes=2))
    assert len(store.spent()) == 1
    paid = private(noise_multiplier=2.0, epsilon=two * 1.001)
    trainer.train(weights, task(spec, paid, number=1, passes=2))
    assert len(store.spent()) == 2


def test_a_window_that_occurs_often_counts_once() -> None:
    spec, weights = started("lstm_autoencoder")
    store = made_store(1)
    doubled = SetStore({p: _twice(s) for p, s in store.sets.items()})
    counts = [
        Trainer("eu", s, device="cpu").train(weights, task(spec, private(noise_multiplier=3.0))).examples
        for s in (store, doubled)
    ]
    assert counts[0] == counts[1]
    assert store.spent() == doubled.spent()


def _twice(whole: Any) -> Any:
    index = np.repeat(np.arange(len(whole)), 2)
    return type(whole)(whole.windows.take(index), whole.labels[index], whole.templates, whole.provenance * 2)


def test_what_does_not_go_with_privacy_says_so() -> None:
    spec, weights = started("bert_cnn")
    with pytest.raises(TrainerError, match="cannot be combined"):
        Trainer("eu", made_store(1), device="cpu").train(weights, task(spec, private(), proximal_mu=0.1))


def test_nothing_spent_is_nothing() -> None:
    assert epsilon([], 1e-5) == 0.0
