from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.base import ModelStoreError, TrainingError, Windows, template_id
from models.detectors.bert_cnn import BertCnn, BertCnnNetwork, BertCnnSettings
from models.detectors.checks import WindowWorkload, fitted
from models.text.ragged import marked, padded
from models.training.train_loop import LoopSettings, train_network


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=40), min_size=1, max_size=8),
    st.sampled_from([(1,), (2, 3, 4), (5, 9)]),
    st.booleans(),
)
def test_folded_equals_plain(rows: list[list[int]], kernels: tuple[int, ...], closed: bool) -> None:
    torch.manual_seed(1)
    network = BertCnnNetwork(24, BertCnnSettings(kernels=kernels, projection=12, filters=6, counts=5)).eval()
    vectors = torch.randn(14, 24)
    windows = Windows.of(rows, [closed] * len(rows))
    tokens, offsets = marked(windows, windows.ids + 4)
    rectangle, lengths = padded(tokens, offsets, np.arange(len(rows)), max(kernels))
    with torch.inference_mode():
        given_tokens, given_lengths = torch.from_numpy(rectangle), torch.from_numpy(lengths)
        folded = network(network.tables(vectors), given_tokens, given_lengths)
        plain = network.plain(vectors, given_tokens, given_lengths)
    torch.testing.assert_close(folded, plain, atol=1e-5, rtol=1e-5)


def test_a_missing_end_is_seen_only_where_the_window_is_closed(
    workload: WindowWorkload, small_cnn: Callable[..., Any]
) -> None:
    detector = small_cnn(training={"epochs": 40, "learning_rate": 0.01})
    # Prefixes of normal sessions are normal while the session grows, and anomalous once it has ended.
    whole = [workload.windows.row(i) for i in np.flatnonzero(~workload.labels)]
    rows = whole + [r[:-1] for r in whole] + [r[:-1] for r in whole]
    closed = [True] * len(whole) + [False] * len(whole) + [True] * len(whole)
    labels = np.arange(len(rows)) >= 2 * len(whole)
    detector.fit(Windows.of(rows, closed), labels, workload.templates, seed=1)
    scores = detector.score(Windows.of([whole[0], whole[0][:-1], whole[0][:-1]], [True, False, True]))
    assert scores[0] < 0.5
    assert scores[1] < 0.5 < scores[2]


def test_reworded_templates_keep_their_meaning(workload: WindowWorkload, small_cnn: Callable[..., Any]) -> None:
    detector = fitted(lambda: small_cnn(training={"epochs": 30, "learning_rate": 0.01}), workload)
    texts = {old: text.replace("session", "the session") for old, text in workload.templates.items()}
    new = {old: template_id(text) for old, text in texts.items()}
    detector.learn_templates({new[old]: text for old, text in texts.items()})
    renamed = Windows.of([[new[i] for i in workload.windows.row(w).tolist()] for w in range(len(workload.windows))])
    agree = (detector.score(renamed) > 0.5) == (detector.score(workload.windows) > 0.5)
    assert agree.mean() > 0.8


def test_fit_goes_on_from_loaded_weights(workload: WindowWorkload, small_cnn: Callable[..., Any]) -> None:
    trained = fitted(small_cnn, workload)
    other = small_cnn(training={"epochs": 1, "learning_rate": 1e-9})
    other.load_weights(trained.weights(), trained.extra())
    other.fit(workload.windows, workload.labels, workload.templates, seed=9)
    np.testing.assert_allclose(other.score(workload.windows), trained.score(workload.windows), atol=1e-4)


def test_the_best_epoch_is_kept_and_training_stops_early() -> None:
    network = torch.nn.Linear(1, 1)
    losses = iter([3.0, 1.0, 2.0, 2.0, 2.0, 2.0])
    seen: list[float] = []

    def validate() -> dict[str, float]:
        seen.append(float(network.weight.detach()))
        return {"val_loss": next(losses)}

    calls: list[tuple[str, int, int]] = []
    report = train_network(
        network, 4, lambda index: network(torch.ones(1, 1)).sum(), validate,
        LoopSettings(epochs=6, patience=3, batch_size=2), seed=0,
        progress=lambda s, d, t, f: calls.append((s, d, t)),
    )  # fmt: skip
    assert report.best_epoch == 1
    assert len(report.history) == 5
    assert float(network.weight.detach()) == seen[1]
    assert calls == [("train", n, 6) for n in range(1, 6)]


def test_a_loss_that_is_not_finite_ends_training() -> None:
    network = torch.nn.Linear(1, 1)
    with pytest.raises(TrainingError, match="lower learning_rate"):
        train_network(
            network, 2, lambda index: network(torch.ones(1, 1)).sum() * torch.inf, lambda: {"val_loss": 0.0},
            LoopSettings(epochs=1), seed=0,
        )  # fmt: skip


def test_torch_random_numbers_are_left_alone(workload: WindowWorkload, small_cnn: Callable[..., Any]) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    fitted(small_cnn, workload)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("labels", [None, np.zeros(240, bool), np.ones(240, bool)])
def test_both_classes_are_needed(workload: WindowWorkload, small_cnn: Callable[..., Any], labels: Any) -> None:
    with pytest.raises(TrainingError, match="both classes"):
        small_cnn().fit(workload.windows, labels, workload.templates)


def test_another_encoder_is_refused(workload: WindowWorkload, small_cnn: Callable[..., Any]) -> None:
    detector: BertCnn = fitted(small_cnn, workload)  # type: ignore[assignment]
    with pytest.raises(ModelStoreError, match=r"trained on encoder hashing:32 .* uses hashing:40"):
        small_cnn(encoder="hashing:40").load_weights(detector.weights(), detector.extra())
