import numpy as np
import torch

from models.base import Windows
from models.detectors.checks import WindowWorkload, fitted
from models.detectors.lstm_autoencoder import LstmAutoencoderNetwork, LstmAutoencoderSettings
from models.detectors.registry import build

SMALL = {"encoder": "hashing:32", "hidden": 32, "latent": 16, "training": {"epochs": 40, "learning_rate": 0.02}}


def test_padding_has_no_error_and_no_influence() -> None:
    torch.manual_seed(0)
    network = LstmAutoencoderNetwork(12, LstmAutoencoderSettings(hidden=8, latent=4)).eval()
    rows = network.rows(torch.randn(9, 12))
    short = torch.tensor([[2, 5, 6, 3]])
    wide = torch.tensor([[2, 5, 6, 3, 0, 0], [2, 5, 6, 7, 8, 3]])
    with torch.no_grad():
        alone = network(rows, short, torch.tensor([4]))
        padded = network(rows, wide, torch.tensor([4, 6]))
    torch.testing.assert_close(padded[0, :4], alone[0], atol=1e-6, rtol=1e-5)
    assert padded[0, 4:].tolist() == [0, 0]


def test_a_line_out_of_place_has_the_largest_error(workload: WindowWorkload) -> None:
    detector = fitted(lambda: build("lstm_autoencoder", SMALL, device="cpu"), workload)
    row = workload.windows.row(1).tolist()
    strange = [*row[:2], row[-1], *row[2:]]
    scores = detector.score(Windows.of([row, strange]))
    assert scores[1] > scores[0]
    assert np.isfinite(detector.explain(Windows.of([strange])).contributions).all()
