import os
import signal
import subprocess
import sys

import pytest

from engine.clock import ManualClock
from engine.flow.worker_context import Drain
from engine.runtime.stop_signals import StopSignals


@pytest.fixture
def drain():
    return lambda: Drain(ManualClock(), 8.0, rebuilds=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_the_flow_that_runs(drain, number):
    running = drain()
    with StopSignals() as signals:
        signals.drain(running)
        assert not running.requested.is_set()
        os.kill(os.getpid(), number)
    assert running.requested.is_set()


def test_a_signal_ends_a_rebuild(drain):
    running = drain()
    with StopSignals() as signals:
        signals.drain(running)
        running.rebuild("new partitions")
        os.kill(os.getpid(), signal.SIGTERM)
    assert running.again == ""


def test_a_signal_between_two_flows_stops_the_next_one(drain):
    first, second = drain(), drain()
    with StopSignals() as signals:
        signals.drain(first)
        first.rebuild("new partitions")
        assert first.again  # the worker has read this before the signal comes
        os.kill(os.getpid(), signal.SIGTERM)
        signals.drain(second)
    assert second.requested.is_set()
    assert second.again == ""


def test_the_handlers_before_are_restored(drain):
    before = signal.getsignal(signal.SIGTERM)
    with StopSignals():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.process
def test_a_second_signal_ends_the_process():
    code = (
        "import os, signal\n"
        "from engine.runtime.stop_signals import StopSignals\n"
        "with StopSignals():\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('one', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('two', flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.stdout, done.returncode) == (b"one\n", -signal.SIGTERM)
