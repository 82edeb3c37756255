from typing import Any, cast

from bench.textbook import Line, LineParser, Session
from models.base import WindowDetector, template_id

LINE = "081109 203530 147 INFO dfs.DataNode: Receiving block blk_{} src: /10.0.0.1:5 dest: /10.0.0.2:6"


class Learner:
    def __init__(self) -> None:
        self.known: dict[int, str] = {}

    def learn_templates(self, templates: dict[int, str]) -> None:
        self.known.update(templates)


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
    assert feed(session, [0.0, 10.0, 7_300.0, 7_301.0]) == [[0, 1]]
    assert session.on_eof()[0] == [[2, 3]]


def test_a_session_ends_at_its_greatest_length() -> None:
    assert [len(window) for window in feed(Session(), [0.0] * 1_025)] == [512, 512]
