"""The SuperNode's shorter sleeps, and that they still fit the release of Flower that is installed."""

import inspect

import pytest
from flwr.supernode import start_client_internal

from federation.flower import supernode


def test_the_stock_loop_sleeps_as_we_think_it_does() -> None:
    source = inspect.getsource(start_client_internal)
    assert f"time.sleep({supernode.STOCK_IDLE_S})" in source
    assert {"time", "pull_objects"} <= vars(start_client_internal).keys()


def test_it_sleeps_shortly_while_a_round_is_under_way_and_longer_when_none_is() -> None:
    slept: list[float] = []
    now = [100.0]
    clock = supernode.ShortSleeps(slept.append, lambda: now[0])
    clock.sleep(supernode.STOCK_IDLE_S)
    clock.sleep(0.5)  # a reply is waited for
    clock.sleep(supernode.STOCK_IDLE_S)
    now[0] += supernode.ROUND_LASTS_S
    clock.sleep(supernode.STOCK_IDLE_S)
    assert slept == [supernode.IDLE_S, supernode.REPLY_S, supernode.ROUND_S, supernode.IDLE_S]


def test_everything_else_of_the_module_is_there() -> None:
    clock = supernode.ShortSleeps()
    assert clock.time() == pytest.approx(clock.time(), abs=5)
