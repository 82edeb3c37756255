from collections import Counter
from pathlib import Path
from typing import Any, cast

import numpy as np
import orjson
from bytewax.connectors.files import FileSource
from bytewax.testing import run_main
from numpy.typing import NDArray

from bench.data.workloads import BaseLog
from bench.peers.textbook import Line, LineParser, Session, build
from bench.processes.engine_process import GAP_S
from engine.offline.datasets import load_windows
from engine.offline.inputs import LogSpec
from engine.steps.parse import ParseSettings
from engine.windows.sessions import SessionWindows
from models.base import WindowDetector, Windows, template_id

LINE = "081109 203530 147 INFO dfs.DataNode: Receiving block blk_{} src: /10.0.0.1:5 dest: /10.0.0.2:6"


class Learner:
    def __init__(self) -> None:
        self.known: dict[int, str] = {}

    def learn_templates(self, templates: dict[int, str]) -> None:
        self.known.update(templates)

    def score(self, windows: Windows) -> NDArray[np.float32]:
        return np.ones(len(windows), np.float32)


def test_a_line_becomes_session_time_and_template() -> None:
    learner = Learner()
    parser = LineParser(cast(WindowDetector, learner))
    first, second = parser.parse(LINE.format("-1")), parser.parse(LINE.format("22"))
    assert first is not None
    assert second is not None
    assert (first[0], second[0]) == ("blk_-1", "blk_22")
    assert first[1].template == second[1].template
    assert first[1].time_s == 1_226_262_930.0
    assert learner.known == {first[1].template: "Receiving block <BLK> src: <IP> dest: <IP>"}
    assert template_id("Receiving block <BLK> src: <IP> dest: <IP>") == first[1].template


def test_a_line_of_another_format_is_left_out() -> None:
    parser = LineParser(cast(WindowDetector, Learner()))
    assert parser.parse("hello") is None
    assert parser.parse("081109 203530 147 INFO dfs.DataNode: no block") is None


def feed(session: Session, times: list[float]) -> list[Any]:
    return [window for i, time_s in enumerate(times) for window in session.on_item(Line(time_s, i))[0]]


def test_a_session_ends_with_the_gap_and_with_the_stream() -> None:
    session = Session()
    assert feed(session, [0.0, 10.0, 86_500.0, 86_501.0]) == [[0, 1]]
    assert session.on_eof()[0] == [[2, 3]]


def test_a_session_ends_at_its_greatest_length() -> None:
    assert [len(window) for window in feed(Session(), [0.0] * 1_025)] == [512, 512]


def test_it_cuts_the_windows_that_the_engine_cuts(small_log: BaseLog, tmp_path: Path) -> None:
    log, alerts = tmp_path / "a.log", tmp_path / "alerts.jsonl"
    log.write_bytes(small_log.data)
    learner = Learner()
    flow, meter = build(FileSource(log), str, cast(WindowDetector, learner), 0.5, alerts)
    run_main(flow)
    expected = load_windows(LogSpec(log, supervised=False), ParseSettings(format="hdfs"), SessionWindows(gap_s=GAP_S))
    closed = expected.closed()
    found = [orjson.loads(row) for row in alerts.read_text().splitlines()]
    assert Counter((alert["session"], tuple(alert["templates"])) for alert in found) == Counter(
        (key, tuple(closed.windows.row(i).tolist())) for i, key in enumerate(closed.keys)
    )
    assert learner.known == expected.templates
    assert (meter.lines, meter.windows) == (2_000, len(closed))
