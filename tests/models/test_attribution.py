from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from models.attribution import integrated
from models.base import Windows, template_id
from models.checks import Made, fitted
from models.registry import build


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


def test_bert_cnn_blames_the_failed_write(made: Made, small_cnn: Callable[..., Any]) -> None:
    detector = fitted(lambda: small_cnn(training={"epochs": 40, "learning_rate": 0.01}), made)
    failed = template_id("write of block <*> failed")
    held = [i for i in range(len(made.windows)) if failed in made.windows.row(i)]
    windows = made.windows.take(np.array(held))
    explanation = detector.explain(windows)
    top = [
        windows.row(i)[int(explanation.contributions[windows.offsets[i] : windows.offsets[i + 1]].argmax())]
        for i in range(len(windows))
    ]
    assert np.mean(np.array(top) == failed) > 0.8


def test_event_counts_give_exact_terms() -> None:
    detector = build("event_counts")
    detector.fit(Windows.of([[1, 2, 3], [1, 2, 2, 3]]), None, {})
    explanation = detector.explain(Windows.of([[1, 2, 9, 3], [1, 3]]))
    # Window 0: one line of four is in no normal window (1/4), and its template is new (1).
    np.testing.assert_allclose(explanation.contributions, [0, 0, 1.25, 0, 0, 0], atol=1e-6)
    # Window 1: a line of three is missing (1/3), and it is shorter than any normal window (1).
    np.testing.assert_allclose(explanation.base, [0, 4 / 3], atol=1e-6)
