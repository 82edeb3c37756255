from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from models.base import template_id
from models.detectors.checks import WindowWorkload, fitted
from models.training.attribution import integrated


def test_a_linear_score_is_divided_exactly() -> None:
    weight = torch.tensor([[1.0, -2.0], [0.5, 0.0], [3.0, 1.0]])
    vectors = torch.tensor([[[2.0, 1.0], [4.0, 9.0], [-1.0, 2.0]]])
    shares, base = integrated(lambda x: (x * weight).sum((1, 2)) + 7, (vectors,))
    np.testing.assert_allclose(shares, [0.0, 2.0, -1.0], atol=1e-5)
    assert base == 7


def test_a_steep_sigmoid_is_complete() -> None:
    vectors = torch.tensor([[[30.0], [-10.0]]])
    shares, base = integrated(lambda x: torch.sigmoid(x.sum((1, 2)) - 10), (vectors,))
    assert shares.sum() + base == pytest.approx(float(torch.sigmoid(torch.tensor(10.0))), abs=0.01)


def test_bert_cnn_blames_the_failed_write(workload: WindowWorkload, small_cnn: Callable[..., Any]) -> None:
    detector = fitted(lambda: small_cnn(training={"epochs": 40, "learning_rate": 0.01}), workload)
    failed = template_id("write of block <*> failed")
    held = [i for i in range(len(workload.windows)) if failed in workload.windows.row(i)]
    windows = workload.windows.take(np.array(held))
    explanation = detector.explain(windows)
    top = [
        windows.row(i)[int(explanation.contributions[windows.offsets[i] : windows.offsets[i + 1]].argmax())]
        for i in range(len(windows))
    ]
    assert np.mean(np.array(top) == failed) > 0.8
