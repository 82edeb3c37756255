import numpy as np
import pytest
import torch

from models.base import TrainingError, Windows
from models.detectors.checks import WindowWorkload, fitted
from models.detectors.logbert import PIECE, pieces
from models.detectors.registry import build

SMALL = {
    "encoder": "hashing:32", "size": 16, "layers": 1, "heads": 2,
    "training": {"epochs": 12, "learning_rate": 0.01},
}  # fmt: skip


def test_short_windows_are_one_piece() -> None:
    tokens, lengths = torch.ones(3, PIECE, dtype=torch.long), torch.tensor([5, PIECE, 1])
    assert pieces(tokens, lengths) == (tokens, lengths)


def test_pieces_hold_every_token_once() -> None:
    tokens = torch.arange(2 * (PIECE + 3)).view(2, PIECE + 3)
    parts, lengths = pieces(tokens, torch.tensor([PIECE + 3, 7]))
    assert lengths.tolist() == [PIECE, 3, 7, 0]
    assert parts.view(2, -1)[:, : PIECE + 3].tolist() == tokens.tolist()


@pytest.mark.parametrize("head", ["masked", "supervised"])
def test_long_windows_are_explained_to_the_full(workload: WindowWorkload, head: str) -> None:
    detector = fitted(lambda: build("logbert", SMALL | {"head": head}, device="cpu"), workload)
    ids = np.array(list(workload.templates), np.int64)
    window = Windows.of([ids[np.arange(PIECE + 50) % 5]])
    explanation = detector.explain(window)
    assert explanation.contributions.sum() + explanation.base[0] == pytest.approx(detector.score(window)[0], abs=0.05)


def test_the_supervised_head_needs_both_classes(workload: WindowWorkload) -> None:
    detector = build("logbert", SMALL | {"head": "supervised"}, device="cpu")
    for labels in (None, np.zeros(len(workload.windows), bool)):
        with pytest.raises(TrainingError, match="both classes"):
            detector.fit(workload.windows, labels, workload.templates)
