"""Steps inside sessions."""

import numpy as np

from engine.findings.base import Block, LineColumns, Values
from engine.findings.checks import SomeTemplates
from engine.findings.finder import _calibrated
from engine.findings.grouping import OPENS, chance_part
from engine.findings.order import FINE_LINES, SessionOrder
from engine.findings.tails import Calibrator

PATH = (0, 1, 1, 2, 3)


def block(number: int, sessions: list[tuple[int, tuple[int, ...]]]) -> Block:
    """A block in which these sessions take turns, one line each."""
    lines = [
        (session, path[at])
        for at in range(max(len(path) for _, path in sessions))
        for session, path in sessions
        if at < len(path)
    ]
    n = len(lines)
    row = np.arange(n) + number * 1000
    columns = LineColumns(
        row, row * 10**9, np.array([key for _, key in lines], np.int32), np.zeros(n, np.int8), np.zeros(n, np.int32),
        np.array([session for session, _ in lines], np.int64), Values.none(),
    )  # fmt: skip
    return Block(number, columns, float(n))


def regular(number: int) -> Block:
    return block(number, [(8 * number + i + 1, PATH) for i in range(8)])


def test_a_step_that_never_occurred_is_found_among_interleaved_sessions() -> None:
    detector, calibrator = SessionOrder(), Calibrator()
    for number in range(400):
        assert _calibrated(list(detector.observe(regular(number), SomeTemplates())), calibrator) == []
    odd = block(400, [(9001, PATH), (9002, (0, 2, 1, 3)), (9003, PATH)])
    found = _calibrated(list(detector.observe(odd, SomeTemplates())), calibrator)
    assert {(signal.key, signal.note["after"]) for signal in found} == {(2, 0), (1, 2), (3, 1)}
    assert max(chance_part(signal.surprise) for signal in found) >= OPENS
    assert detector.observe(block(401, [(9004, (0, 2, 1, 3))]), SomeTemplates()) == []


def test_a_step_may_lie_between_two_blocks() -> None:
    detector = SessionOrder()
    for number in range(400):
        detector.observe(regular(number), SomeTemplates())
    detector.observe(block(400, [(9001, (0,))]), SomeTemplates())
    (signal,) = SessionOrder(detector.snapshot()).observe(block(401, [(9001, (3,))]), SomeTemplates())
    assert (signal.key, signal.note) == (3, {"after": 0, "followed": 3200})


def test_a_template_that_is_new_itself_is_left_to_another_detector() -> None:
    detector = SessionOrder()
    for number in range(400):
        detector.observe(regular(number), SomeTemplates())
    assert detector.observe(block(400, [(9001, (0, 9, 2))]), SomeTemplates()) == []


def test_lines_without_a_session_are_ignored() -> None:
    detector = SessionOrder()
    for number in range(50):
        assert detector.observe(block(number, [(0, PATH)]), SomeTemplates()) == []
    assert len(detector.snapshot()["steps"]) == 0


def test_long_blocks_follow_a_fixed_part_of_the_sessions() -> None:
    detector = SessionOrder()
    while detector.snapshot()["lines"] < 4 * FINE_LINES:
        detector.coarsen()
    detector.observe(block(0, [(session, PATH) for session in range(1, 401)]), SomeTemplates())
    assert detector.snapshot()["count"].sum() == 100 * (len(PATH) - 1)
