"""Rectangles scored in fixed shapes on recorded buffers give what the plain call gives."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from models.base import Windows
from models.detectors.bert_cnn import BertCnn, BertCnnSettings
from models.detectors.checks import make_workload
from models.detectors.torch_detector import HALF_ERROR
from models.text.device import encoding_stream, sent, tokens_at_once
from models.training.rectangle_runner import RectangleRunner, fixed_shape, halved

CPU = torch.device("cpu")


def weighted(tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    inside = torch.arange(tokens.shape[1]) < lengths[:, None]
    return (tokens * inside).sum(1) / lengths


def rectangles(seed: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    for rows, width in ((3, 5), (70, 8), (1, 40), (64, 5), (3, 7), (200, 33)):
        yield rng.integers(0, 9, (rows, width)), rng.integers(1, width + 1, rows)


@pytest.mark.parametrize(
    ("shape", "fixed"),
    [((1, 1), (64, 6)), ((64, 6), (64, 6)), ((65, 7), (128, 8)), ((4000, 20), (4096, 24)), ((100, 25), (128, 32))],
)
def test_shapes_are_few_and_never_smaller(shape, fixed) -> None:
    assert fixed_shape(*shape) == fixed


def test_fixed_shapes_change_no_score_and_no_order() -> None:
    plain = list(RectangleRunner(weighted, CPU, fixed=False).scores(rectangles()))
    runner = RectangleRunner(weighted, CPU, fixed=True)
    for _ in range(2):  # recorded, and replayed
        found = list(runner.scores(rectangles()))
        assert [len(part) for part in found] == [3, 70, 1, 64, 3, 200]
        for a, b in zip(found, plain, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6)


def test_a_shape_is_recorded_once() -> None:
    calls: list[tuple[int, ...]] = []

    def counted(tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        calls.append(tuple(tokens.shape))
        return weighted(tokens, lengths)

    list(RectangleRunner(counted, CPU, fixed=True).scores(rectangles()))
    shapes = {(64, 6), (128, 8), (64, 48), (64, 8), (256, 48)}
    assert set(calls) == shapes
    assert len(calls) == 6 + len(shapes), "each rectangle is a replay, and each shape one recording"


def test_only_floating_tensors_are_halved() -> None:
    table, index, name = torch.ones(2), torch.ones(2, dtype=torch.int64), "network"
    found = halved((name, [table, index]))
    assert found[0] == name
    assert [part.dtype for part in found[1]] == [torch.bfloat16, torch.int64]


def test_on_a_cpu_the_device_calls_do_nothing() -> None:
    tensor = torch.ones(3)
    assert sent(tensor, CPU) is tensor
    assert tokens_at_once(CPU, 4096) == 4096
    with encoding_stream(CPU):
        assert sent(tensor, CPU) is tensor


@pytest.fixture(scope="module")
def trained() -> BertCnn:
    detector = BertCnn(BertCnnSettings.model_validate(BertCnn.check_settings[0]), device="cpu")
    workload = make_workload()
    detector.fit(workload.windows, workload.labels, workload.templates)
    return detector


def as_on_gpu(trained: BertCnn) -> BertCnn:
    """The detector with everything that a GPU would be given, on the CPU."""
    detector = BertCnn(BertCnnSettings.model_validate(BertCnn.check_settings[0]), device="cpu")
    detector._on_gpu = True
    detector.load_weights(trained.weights(), trained.extra())
    return detector


def test_scores_with_bfloat16_tables_in_fixed_shapes_stay_within_the_bound(trained) -> None:
    workload = make_workload()
    detector = as_on_gpu(trained)
    detector.learn_templates(workload.templates)
    assert detector._current()[1][1][1].dtype == torch.bfloat16
    np.testing.assert_allclose(detector.score(workload.windows), trained.score(workload.windows), atol=2 * HALF_ERROR)


def test_tables_whose_rounding_would_change_scores_stay_float32(trained, monkeypatch) -> None:
    monkeypatch.setattr("models.detectors.torch_detector.HALF_ERROR", 0.0)
    workload = make_workload()
    detector = as_on_gpu(trained)
    detector.learn_templates(workload.templates)
    assert detector._current()[1][1][1].dtype == torch.float32
    np.testing.assert_allclose(detector.score(workload.windows), trained.score(workload.windows), atol=1e-5)


def test_recordings_end_with_the_tables_they_were_made_of(trained) -> None:
    workload = make_workload()
    detector = as_on_gpu(trained)
    detector.learn_templates(workload.templates)
    detector.score(workload.windows)
    before = detector._runner
    detector.score(workload.windows)
    assert detector._runner is before
    detector.learn_templates({5: "a text that was not there"})
    assert np.isfinite(detector.score(Windows.of([[5, 5, 5]]))).all()
    assert detector._runner is not before
