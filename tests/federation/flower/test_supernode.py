"""The SuperNode's shorter sleeps, and that they still fit the release of Flower that is installed."""

import inspect

import pytest
from flwr.supercore.protobuf.translation import PROTOBUF_REQUEST_TYPES
from flwr.supernode import fleet_http_connection, node_auth_http_interceptor, start_client_internal
from flwr.supernode import main as application

from federation.flower import supernode


def test_the_stock_loop_sleeps_as_we_think_it_does() -> None:
    source = inspect.getsource(start_client_internal)
    assert f"time.sleep({supernode.STOCK_IDLE_S})" in source
    assert "node_config=node_config" in source
    assert {"time", "pull_objects", "_pull_and_store_message"} <= vars(start_client_internal).keys()


def test_the_names_that_are_replaced_are_those_that_flower_reads() -> None:
    assert "create_app" in vars(application)
    assert "now().isoformat()" in inspect.getsource(node_auth_http_interceptor)
    assert "NodeAuthHttpInterceptor(private_key" in inspect.getsource(fleet_http_connection)
    assert supernode.HELD.keys() <= {path for _, path in PROTOBUF_REQUEST_TYPES}


class Time:
    """Sleeps that pass, and a record of them."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def sleeps(time: Time) -> supernode.ShortSleeps:
    return supernode.ShortSleeps(time.sleep, lambda: time.now_s)


def test_after_a_request_that_was_held_the_next_one_follows_at_once(time: Time, sleeps: supernode.ShortSleeps) -> None:
    for _ in range(5):
        time.now_s += 20
        sleeps.sleep(supernode.STOCK_IDLE_S)
    assert time.slept == []


def test_a_superlink_that_holds_nothing_is_not_asked_in_a_busy_loop(time: Time, sleeps: supernode.ShortSleeps) -> None:
    for _ in range(10):
        sleeps.sleep(supernode.STOCK_IDLE_S)
        time.now_s += 0.01
    assert len(time.slept) >= 8
    assert set(time.slept) == {supernode.IDLE_S}


def test_messages_in_quick_succession_cost_no_pause(time: Time, sleeps: supernode.ShortSleeps) -> None:
    for _ in range(5):
        sleeps.sleep(0.5)  # a reply is waited for
        sleeps.sleep(supernode.STOCK_IDLE_S)  # the first request after a message is not held
        time.now_s += 0.1
    assert time.slept == [supernode.REPLY_S] * 5


def test_everything_else_of_the_module_is_there(sleeps: supernode.ShortSleeps) -> None:
    assert sleeps.time() == pytest.approx(sleeps.time(), abs=5)
