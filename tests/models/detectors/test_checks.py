from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from models.base import WindowDetector
from models.detectors.checks import CHECKS, WindowWorkload, fitted
from models.detectors.registry import DETECTORS, build

SMALL = {
    "encoder": "hashing:32", "projection": 16, "filters": 8, "counts": 8,
    "training": {"epochs": 8, "learning_rate": 0.01},
}  # fmt: skip
LSTM = {"encoder": "hashing:32", "projection": 16, "hidden": 16, "training": {"epochs": 12, "learning_rate": 0.02}}
TRANSFORMER = {
    "encoder": "hashing:32", "size": 16, "layers": 1, "heads": 2,
    "training": {"epochs": 12, "learning_rate": 0.01},
}  # fmt: skip
AUTOENCODER = {"encoder": "hashing:32", "hidden": 32, "latent": 16, "training": {"epochs": 40, "learning_rate": 0.02}}

# Every detector of the registry appears here with settings that train in well under a second; every
# option with few values is taken both ways.
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("bert_cnn", SMALL),
    ("bert_cnn", SMALL | {"focal_gamma": 2.0, "class_weight": "balanced", "repeat_power": 1.0, "kernels": [1, 5]}),
    ("bert_cnn", SMALL | {"class_weight": "none", "dropout": 0.0, "kernels": [2]}),
    ("deeplog", LSTM),
    ("deeplog", LSTM | {"ends": False, "expected": 2, "history": 3, "layers": 1}),
    ("logbert", TRANSFORMER),
    ("logbert", TRANSFORMER | {"hypersphere": 0.0, "expected": 1, "layers": 2}),
    ("logbert", TRANSFORMER | {"head": "supervised"}),
    ("lstm_autoencoder", AUTOENCODER),
    ("event_counts", {}),
    ("event_counts", {"max_references": 5}),
    ("event_counts", {"head": "logistic"}),
    ("event_counts", {"head": "boosted", "trees": 30}),
]


def test_every_detector_is_checked() -> None:
    assert {name for name, _ in VARIANTS} == set(DETECTORS)


def maker(variant: tuple[str, dict[str, Any]], device: str = "cpu") -> Callable[[], WindowDetector]:
    return lambda: build(*variant, device=device)


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__)
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v[0] + "-" + "-".join(map(str, v[1].values()))[:40])
def test_check(check: Callable[..., None], variant: tuple[str, dict[str, Any]], workload: WindowWorkload) -> None:
    check(maker(variant), workload)


@pytest.mark.parametrize("variant", [v for v in VARIANTS if v[0] != "event_counts"], ids=lambda v: v[0])
def test_cuda_agrees_with_cpu(variant: tuple[str, dict[str, Any]], workload: WindowWorkload) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this machine has no CUDA GPU")
    here = fitted(maker(variant), workload)
    there = build(*variant, device="cuda")
    there.load_weights(here.weights(), here.extra())
    there.learn_templates(workload.templates)
    np.testing.assert_allclose(there.score(workload.windows), here.score(workload.windows), atol=1e-3)
