import pytest

from tests.federation.controller_world import Clock, Process, publish_first


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def process(tmp_path, clock):
    publish_first(tmp_path)
    made = Process(tmp_path, clock)
    yield made
    made.close()
