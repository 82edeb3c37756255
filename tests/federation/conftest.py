import os
from collections.abc import Iterator

import pytest

from tests.support.coordinator_process import CoordinatorProcess, ManualWallClock, publish_first


@pytest.fixture(scope="module", autouse=True)
def _no_power_cut() -> Iterator[None]:
    """Processes are killed in these tests and the machine never is: waiting for the disk would prove nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture
def clock():
    return ManualWallClock()


@pytest.fixture
def process(tmp_path, clock):
    publish_first(tmp_path)
    made = CoordinatorProcess(tmp_path, clock)
    yield made
    made.close()
