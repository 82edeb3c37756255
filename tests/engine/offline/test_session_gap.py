from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.offline.detect import Preprocessing, as_trained, derive_gap
from engine.offline.inputs import LogSpec
from engine.offline.session_gap import MIN_GAP_S, SessionPauses, session_pauses
from engine.parsing.parse_settings import ParseSettings
from engine.records import NO_SESSION
from engine.windows.sessions import SessionWindows
from engine.windows.sliding import SlidingWindows
from models.storage.store import Card
from models.thresholds.base import Threshold

BEGIN, MIDDLE, END = 1, 2, 3
HDFS = ParseSettings(format="hdfs")


def pauses(sessions):
    """From (key, [(second, template), …]) of one stream."""
    lines = sorted((second, key, template) for key, found in sessions for second, template in found)
    second, key, template = (np.array(column, np.int64) for column in zip(*lines, strict=True))
    return SessionPauses.of(key, second * 10**9, template)


def test_keys_that_begin_again_are_cut_between_two_sessions():
    visits = [
        (k, [(d * 5_000 + s, t) for d in range(5) for s, t in ((0, BEGIN), (20, MIDDLE), (40, END))])
        for k in range(1, 31)
    ]
    found = pauses(visits)
    assert 20 <= found.gap_s() < 4_960
    assert found.begins.sum() == 30 * 4


def test_keys_of_one_unit_are_kept_whole():
    units = [(k, [(k, BEGIN), (k + 3, MIDDLE), (k + 30_000, END)]) for k in range(1, 101)]
    assert pauses(units).gap_s() == 30_000


@pytest.mark.parametrize("count", [0, 5])
def test_a_gap_is_not_derived_from_few_sessions(count):
    none = np.zeros(0, np.int64)
    found = (
        pauses([(k, [(0, BEGIN), (9, END)]) for k in range(1, count + 1)])
        if count
        else SessionPauses.of(none, none, none)
    )
    assert found.gap_s() is None
    assert f"{count} sessions" in found.report()


def test_lines_without_a_key_have_no_pauses():
    session = np.full(50, NO_SESSION)
    assert len(SessionPauses.of(session, np.arange(50) * 10**9, np.ones(50, np.int64)).pauses_s) == 0


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 10**6), st.integers(1, 3)), min_size=1, max_size=200))
def test_a_derived_gap_is_at_least_the_minimum_and_pauses_are_of_one_key(lines):
    key, second, template = (np.array(column, np.int64) for column in zip(*lines, strict=True))
    found = SessionPauses.of(key, second * 10**9, template)
    assert len(found.pauses_s) == len(found.begins) == len(lines) - len(set(key.tolist()))
    assert len(found.longest_s) == sum(np.unique(key, return_counts=True)[1] > 1)
    gap_s = found.gap_s()
    assert gap_s is None or MIN_GAP_S <= gap_s <= max(MIN_GAP_S, 1.1 * found.pauses_s.max())


def log(path: Path) -> LogSpec:
    """Blocks that rest for two hours before they are deleted."""
    lines = []
    for block in range(40):
        for minute, text in ((block, "Receiving block"), (block + 1, "Served block"), (block + 121, "Deleting block")):
            clock = f"{10 + minute // 60:02d}{minute % 60:02d}00"
            lines.append(f"081109 {clock} 148 INFO dfs.DataNode: {text} blk_{block} src: /10.0.0.1:1")
    path.write_text("\n".join(sorted(lines, key=lambda line: line[:13])) + "\n")
    return LogSpec(path, supervised=False)


def test_the_gap_comes_from_the_log_unless_it_is_set(tmp_path):
    spec = log(tmp_path / "a.log")
    assert session_pauses(spec, HDFS).gap_s() == 7_200
    derived, sentence = derive_gap(spec, Preprocessing(HDFS, SessionWindows()), fixed=False)
    assert derived.window.gap_s == 7_200
    assert "gap_s = 7200 was derived" in sentence
    for given_, fixed in ((SessionWindows(gap_s=5), False), (SessionWindows(), True)):
        kept, sentence = derive_gap(spec, Preprocessing(HDFS, given_), fixed=fixed)
        assert kept.window == given_
        assert f"gap_s = {given_.gap_s:g} is set (the log suggests 7200)" in sentence
    lines = Preprocessing(HDFS, SlidingWindows())
    assert derive_gap(spec, lines, fixed=False) == (lines, "")


def test_a_model_is_judged_with_the_gap_it_was_trained_with(judged):
    card: Card = judged([0.0], [False]).card
    trained = card.model_copy(update={"data": {"gap_s": 70.0}, "threshold": Threshold(rule="pot", value=1.0)})
    assert as_trained(Preprocessing(HDFS, SessionWindows()), trained).window.gap_s == 70
    for kept, of in ((SessionWindows(gap_s=5), trained), (SessionWindows(), card), (SlidingWindows(), trained)):
        assert as_trained(Preprocessing(HDFS, kept), of).window is kept
