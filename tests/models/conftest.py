from collections.abc import Callable
from typing import Any

import pytest

from models.base import WindowDetector
from models.detectors.checks import WindowWorkload, make_workload
from models.detectors.registry import build

SMALL = {
    "encoder": "hashing:32",
    "projection": 16,
    "filters": 8,
    "counts": 8,
    "kernels": [2, 3],
    "training": {"epochs": 8, "learning_rate": 0.01},
}


@pytest.fixture(scope="session")
def workload() -> WindowWorkload:
    return make_workload()


@pytest.fixture
def small_cnn() -> Callable[..., Any]:
    def make(**changes: Any) -> WindowDetector:
        return build("bert_cnn", SMALL | changes, device="cpu")

    return make
