from collections.abc import Mapping

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.base import FitReport
from models.training.local_training import LocalTraining, within_round
from models.training.train_loop import LoopSettings, train_network


def trained(local: LocalTraining | None, start: float = 4.0) -> tuple[FitReport, float, list[int]]:
    """A single weight that is drawn to zero; the validation figure is best at the start."""
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(network.weight, start)
    epochs: list[int] = []

    def loss(index: NDArray[np.int64]) -> torch.Tensor:
        epochs.append(len(index))
        return network.weight.square().sum()

    def validate() -> Mapping[str, float]:
        return {"val_loss": -float(network.weight.detach())}

    settings = LoopSettings(epochs=6, max_steps=10_000, patience=2, batch_size=4, learning_rate=0.1)

    def run() -> FitReport:
        return train_network(network, 8, loss, validate, settings, seed=0)

    if local is None:
        report = run()
    else:
        with within_round(local):
            report = run()
    return report, float(network.weight.detach()), epochs


def test_a_region_makes_all_its_epochs_and_keeps_the_last_ones_weights() -> None:
    report, weight, batches = trained(LocalTraining(epochs=9))
    assert batches == [4] * 18
    assert len(report.history) == 9
    assert [("val_loss" in h) for h in report.history] == [False] * 8 + [True]
    assert weight == pytest.approx(-report.history[-1]["val_loss"])


def test_outside_a_round_the_best_epoch_is_kept() -> None:
    report, weight, batches = trained(None)
    assert report.best_epoch == 0
    assert len(batches) == 6
    assert weight == pytest.approx(-report.history[0]["val_loss"])
    assert weight > trained(LocalTraining(epochs=9))[1]


def test_the_pull_to_the_start_is_that_of_fedprox() -> None:
    weights = [trained(LocalTraining(epochs=40, proximal_mu=mu))[1] for mu in (0.0, 2.0, 200.0)]
    assert weights[0] < weights[1] < weights[2]
    # Of w² + μ/2 (w - 4)² the minimum lies at 4μ / (2 + μ); weight decay pulls a little further down.
    assert weights[2] == pytest.approx(4 * 200 / 202, abs=0.1)
