"""kill -9 while messages of many lines are read: each line counts once."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connectors.packed.positions import LINE_BITS
from tests.faults import test_kill as kill
from tests.support.otlp_requests import logs_request

pytestmark = pytest.mark.process

EACH = 37
"""Lines a message."""

KILLS = 4
LINES = 30_000


@pytest.mark.timeout(300)
@pytest.mark.parametrize("broker", ["embedded"], indirect=True)
@pytest.mark.parametrize(
    ("settings", "pack"),
    [
        pytest.param({}, b"\n".join, id="lines"),
        pytest.param({"encoding": "otlp_proto", "otlp_lines": "bodies"}, logs_request, id="otlp"),
    ],
)
def test_kills_within_packed_messages_lose_and_repeat_nothing(
    broker: Any, new_topic: Callable[..., str], launch: Any, log_lines: Any, expected: Any, until: Any, stored: Any,
    agree: Any, tmp_path: Path, settings: dict[str, str], pack: Callable[[list[bytes]], bytes],
) -> None:  # fmt: skip
    topic, lines = new_topic(2), [log_lines(LINES, 21), log_lines(LINES, 22)]
    wanted, messages = {}, []
    for partition, its_lines in enumerate(lines):
        wanted |= expected(its_lines, f"{topic}/{partition}", lambda i: (i // EACH) << LINE_BITS | i % EACH)
        messages.append([pack(its_lines[i : i + EACH]) for i in range(0, LINES, EACH)])
    assert len(wanted) > 100
    engine = launch(
        {"type": "kafka", "brokers": broker.brokers, "topic": topic, **settings},
        [{"type": "sql", "url": f"sqlite:///{tmp_path / 'alerts.db'}"}],
        workers=2,
    )
    feeder = kill.Feeder(broker.brokers, topic, messages, 10.0)
    until(lambda: engine.ready(0), "the first worker answers")
    feeder.start()
    chance = random.Random(8)
    for i in range(KILLS):
        kill._until_read(until, engine, i % 2, chance.randint(1, 2_000))
        kill._kill_worker(until, engine, i % 2)
    until(lambda: feeder.left == 0, "all lines are produced")
    until(lambda: {d["id"] for d in stored(tmp_path / "alerts.db")} >= wanted.keys(), "all alerts are stored")
    assert engine.drain() == 0
    assert engine.text().count("it is restarted") == KILLS
    agree(stored(tmp_path / "alerts.db"), wanted, once=True)
