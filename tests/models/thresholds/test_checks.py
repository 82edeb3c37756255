from collections.abc import Callable

import numpy as np
import pytest

from models.thresholds.checks import CHECKS
from models.thresholds.registry import RULES

RNG = np.random.default_rng(0)
WORKLOADS = {
    "gaussian": (RNG.normal(0, 1, 400), RNG.normal(6, 1, 20)),
    "skewed": (RNG.exponential(1, 600), 8 + RNG.exponential(1, 30)),
    "few": (np.array([0.25, 0.5, 0.75]), np.array([4.0])),
    "overlapping": (RNG.normal(0, 1, 300), RNG.normal(1, 2, 300)),
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__)
@pytest.mark.parametrize("workload", WORKLOADS)
@pytest.mark.parametrize("rule", RULES)
def test_check(check: Callable[..., None], workload: str, rule: str) -> None:
    normal, anomalous = WORKLOADS[workload]
    check(rule, normal.astype(np.float32), anomalous.astype(np.float32))
