import pytest

from bench.data.workloads import BaseLog
from engine.corpus.simulator import simulate


@pytest.fixture(scope="session")
def small_log() -> BaseLog:
    simulated = simulate(2_000, seed=3)
    return BaseLog(simulated.data, simulated.labels, "simulated")
