"""State stays bounded, a refusal gives its reason, and a snapshot is only used where it fits."""

import numpy as np
import pytest
from pydantic import ValidationError

from connectors.base import LineBatch
from engine.clock import ManualClock
from engine.records import ParsedLines
from engine.steps.window import SessionWindows, SlidingWindows, TimeWindows, WindowStateError, build_windower
from engine.windows.sessions import GrowthSteps
from engine.windows.window_base import NO_TIME

SECOND = 1_000_000_000
NOW_S = 1_700_000_000


def parsed(sessions, times_s, position: int = 0, partition: str = "p/0", traceparent: str = "") -> ParsedLines:
    """Lines whose key is the session's number; a session of 0 has no key."""
    texts = [b"s%d" % s if s else b"no key" for s in sessions]
    ends = np.cumsum([len(t) + 1 for t in texts]) - 1
    starts = np.concatenate([[0], ends[:-1] + 1]).astype(np.int32)
    n = len(texts)
    read_ns = NOW_S * SECOND
    data, positions = b"\n".join(texts) + b"\n", position + np.arange(n)
    batch = LineBatch(partition, data, ends, positions, read_ns, read_ns - 5, traceparent=traceparent)
    keyed = np.array(sessions) != 0
    return ParsedLines(
        batch,
        np.arange(n, dtype=np.int32),
        np.array([round(t * SECOND) for t in times_s], np.int64),
        np.full(n, 9, np.int64),
        np.array(sessions, np.int64),
        starts,
        np.where(keyed, ends, starts).astype(np.int32),
        {},
        (),
    )


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(wall_ns=NOW_S * SECOND)


def test_a_window_carries_the_stamps_of_the_batch_that_completed_it(clock) -> None:
    windower = build_windower(SessionWindows(max_length=2), clock)
    out = windower.add(parsed([5, 5], [10, 11], traceparent="00-aa-bb-01")).windows
    assert out is not None
    assert (out.key, out.partition, out.traceparent) == (("s5",), ("p/0",), "00-aa-bb-01")
    assert (out.ready_ns[0], out.produced_ns[0]) == (NOW_S * SECOND, NOW_S * SECOND - 5)
    assert (out.first[0], out.last[0], out.first_ns[0], out.last_ns[0]) == (0, 1, 10 * SECOND, 11 * SECOND)


def test_a_late_line_is_named_with_how_late_it_is(clock) -> None:
    windower = build_windower(SessionWindows(gap_s=10, allowed_lateness_s=5), clock)
    result = windower.add(parsed([1, 2, 3], [1000, 984, 985.5]))
    assert [late.row for late in result.late] == [1]
    assert result.late[0].reason.startswith("late by 11.0 s behind the watermark")
    assert windower.counters.late == 1


@pytest.mark.parametrize("kind", [SessionWindows, TimeWindows])
def test_a_line_far_ahead_of_the_clock_is_refused_and_costs_no_other_line(kind, clock) -> None:
    windower = build_windower(kind(), clock)
    result = windower.add(parsed([1, 2, 1], [NOW_S - 1, NOW_S + 90_000, NOW_S]))
    assert [late.row for late in result.late] == [1]
    assert "90000.0 s ahead of the machine's clock" in result.late[0].reason
    out = windower.close_all()
    assert out is not None
    assert out.windows.lengths().sum() == 2


def test_a_batch_of_nothing_but_refused_lines_changes_nothing(clock) -> None:
    windower = build_windower(SessionWindows(), clock)
    assert len(windower.add(parsed([1], [NOW_S + 90_000])).late) == 1
    assert windower.watermark_ns == NO_TIME
    assert windower.open_windows == 0


@pytest.mark.parametrize(
    "spec", [SessionWindows(idle_s=60), TimeWindows(idle_s=60, per="session"), SlidingWindows(idle_s=60, per="session")]
)
def test_what_is_idle_for_too_long_is_closed_by_the_tick(spec, clock) -> None:
    windower = build_windower(spec, clock)
    windower.add(parsed([1, 2], [10, 10]))
    clock.advance(40)
    windower.add(parsed([2], [10], position=2))
    clock.advance(15)
    assert windower.tick() is None
    clock.advance(10)
    clock.jump_wall(-1e6)
    out = windower.tick()
    assert out is not None
    assert out.key == ("s1",)
    assert windower.open_windows == 1
    assert windower.counters.evicted == 1


@pytest.mark.parametrize(
    "spec",
    [
        SessionWindows(max_open=64),
        TimeWindows(max_open=64, per="session"),
        SlidingWindows(max_open=64, per="session"),
    ],
)
def test_the_oldest_are_closed_beyond_the_maximum(spec, clock) -> None:
    windower = build_windower(spec, clock)
    keys = []
    for i in range(1, 50):
        out = windower.add(parsed([3 * i, 3 * i + 1, 3 * i + 2], [i / 10] * 3, position=3 * i)).windows
        keys += [] if out is None else out.key
        assert windower.open_windows <= 64
    assert keys == [f"s{i}" for i in range(3, 3 + len(keys))]
    assert windower.counters.evicted == len(keys) == 147 - windower.open_windows


def test_a_silent_partition_does_not_hold_the_watermark_for_ever(clock) -> None:
    windower = build_windower(SessionWindows(gap_s=10, partition_idle_s=30), clock)
    windower.add(parsed([1], [100], partition="p/0"))
    windower.add(parsed([2], [500], partition="p/1"))
    assert windower.watermark_ns == 100 * SECOND
    clock.advance(31)
    out = windower.add(parsed([3], [501], position=1, partition="p/1")).windows
    assert out is not None
    assert out.key == ("s1",)
    assert windower.watermark_ns == 501 * SECOND


def test_a_tick_ends_what_only_a_silent_partition_held_open(clock) -> None:
    windower = build_windower(SessionWindows(gap_s=10, partition_idle_s=30), clock)
    windower.add(parsed([1], [100], partition="p/0"))
    clock.advance(20)
    windower.add(parsed([2], [500], partition="p/1"))
    clock.advance(15)
    out = windower.tick()
    assert out is not None
    assert out.key == ("s1",)
    assert windower.counters.evicted == 0


@pytest.mark.parametrize("per", ["source", "session"])
@pytest.mark.parametrize("kind", [SlidingWindows, TimeWindows])
def test_lines_without_a_key_are_skipped_where_told(kind, per, clock) -> None:
    windower = build_windower(kind(per=per, unkeyed="skip"), clock)
    windower.add(parsed([0, 1, 0], [10, 10, 10]))
    out = windower.close_all()
    assert out is not None
    assert int(out.windows.lengths().sum()) == (3 if per == "source" else 1)
    assert windower.counters.skipped == (0 if per == "source" else 2)
    assert windower.counters.late == 0


def test_memory_follows_what_is_open_not_what_came(clock) -> None:
    windower = build_windower(SessionWindows(gap_s=1, max_length=40), clock)
    held = []
    for i in range(200):
        sessions = np.repeat(np.arange(100), 20) + 1 + 50 * i
        windower.add(parsed(sessions.tolist(), np.linspace(i, i + 1, 2000).tolist(), position=2000 * i))
        held.append(windower.token_bytes)
    assert held[20] == held[-1]


def test_a_snapshot_does_not_change_afterwards(clock) -> None:
    windower = build_windower(SessionWindows(), clock)
    windower.add(parsed([1, 2, 3], [10, 11, 12]))
    before = windower.snapshot()
    copy = bytes(before)
    windower.add(parsed([1, 2, 4], [13, 14, 15], position=3))
    assert before == copy
    again = build_windower(SessionWindows(), clock, before)
    assert again.open_windows == 3
    assert again.watermark_ns == 12 * SECOND


@pytest.mark.parametrize("spoil", [lambda s: s[: len(s) - 9], lambda s: b"x" + s[1:], lambda s: s[:20], lambda s: b""])
def test_a_damaged_snapshot_is_refused(spoil, clock) -> None:
    windower = build_windower(SessionWindows(), clock)
    windower.add(parsed([1, 2], [10, 11]))
    with pytest.raises(WindowStateError):
        build_windower(SessionWindows(), clock, spoil(windower.snapshot()))


def test_windows_cut_by_other_settings_are_refused_but_other_limits_are_fine(clock) -> None:
    windower = build_windower(SessionWindows(gap_s=10), clock)
    windower.add(parsed([1, 2], [10, 11]))
    state = windower.snapshot()
    with pytest.raises(WindowStateError, match=r"go back to those settings"):
        build_windower(SessionWindows(gap_s=10, max_length=5), clock, state)
    with pytest.raises(WindowStateError, match=r"session.*sliding"):
        build_windower(SlidingWindows(), clock, state)
    assert build_windower(SessionWindows(gap_s=10, max_open=5, idle_s=1), clock, state).open_windows == 2


def test_open_sessions_continue_under_the_gap_of_another_model(clock) -> None:
    windower = build_windower(SessionWindows(gap_s=10), clock)
    windower.add(parsed([1, 2], [10, 11]))
    wider = build_windower(SessionWindows(gap_s=50), clock, windower.snapshot())
    # Session 1 pauses for less than the new gap and continues; session 2 has its old deadline, 21.
    windows = wider.add(parsed([1, 3], [20, 25])).windows
    assert windows is not None
    assert (len(windows), wider.open_windows) == (1, 2)
    assert windows.last_ns.tolist() == [11 * SECOND]


def test_growth_steps_by_factor_end_below_the_maximum() -> None:
    spec = SessionWindows(growth=GrowthSteps(first=1, factor=1.5), max_length=8)
    assert spec.steps() == (1, 2, 3, 5, 7)
    assert SessionWindows(growth=(4, 8), max_length=8).steps() == (4,)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: SessionWindows(growth=(4, 4)),
        lambda: TimeWindows(length_s=10, slide_s=11),
        lambda: TimeWindows(length_s=10, slide_s=0.01),
        lambda: SlidingWindows(size=0),
        lambda: SessionWindows.model_validate({"gap": 3}),
    ],
)
def test_settings_that_make_no_windows_are_refused(wrong) -> None:
    with pytest.raises(ValidationError):
        wrong()


def test_times_decades_apart_within_one_batch(clock) -> None:
    windower = build_windower(SessionWindows(gap_s=10, allowed_lateness_s=3e8, max_length=3), clock)
    sessions = list(range(1, 400)) * 2
    windower.add(parsed(sessions, [NOW_S - 9e8 if i < 399 else NOW_S - 1e3 for i in range(798)]))
    out = windower.close_all()
    assert out is not None
    assert len(out) == 399
