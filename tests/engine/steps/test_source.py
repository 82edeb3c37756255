import itertools
from collections import deque

import pytest
from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, run_main

from connectors.base import PositionLostError, SourceUnavailableError
from connectors.files import FileSettings, FileSource
from connectors.memory import EOF, FAIL, PAUSE, MemorySource
from engine.clock import ManualClock
from engine.steps.source import (
    GATHER_S,
    IDLE_POLL_S,
    LAG_EVERY_S,
    LONGEST_IDLE_POLL_S,
    UNAVAILABLE_POLL_S,
    Observer,
    Pace,
    SourceInput,
    StoppedEarlyError,
)
from engine.stop_flag import StopFlag
from foundation import plain_pickle


class Notes(Observer):
    """Records every call."""

    def __init__(self):
        self.seen = []
        self.turns = 0

    def read(self, batch):
        self.seen.append(("read", batch.partition, len(batch)))
        return batch

    def lag(self, partition, lag):
        self.seen.append(("lag", partition, lag))

    def turn(self):
        self.turns += 1

    def unavailable(self, partition, reason):
        self.seen.append(("unavailable", partition, reason))

    def available(self, partition):
        if self.seen[-1:] != [("available", partition)]:
            self.seen.append(("available", partition))


class Absent:
    """A source whose broker is not there for this many questions and openings."""

    def __init__(self, source, *, questions=0, openings=0):
        self._source = source
        self._left = {"partitions": questions, "open": openings}

    def _ask(self, what):
        if self._left[what]:
            self._left[what] -= 1
            raise SourceUnavailableError(f"no broker ({what})")

    def partitions(self):
        self._ask("partitions")
        return self._source.partitions()

    def open(self, partition, resume):
        self._ask("open")
        return self._source.open(partition, resume)

    def describe(self, partition, position):
        return self._source.describe(partition, position)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def stop(clock):
    return StopFlag(clock.advance)


@pytest.fixture
def notes():
    return Notes()


@pytest.fixture
def source_input(clock, stop, notes):
    return lambda source: SourceInput(source, stop, notes, clock, small_lines=0)


def lines_of(items):
    return [batch.line(i) for _, batch in items for i in range(len(batch))]


def test_batches_arrive_under_the_name_of_their_partition(source_input, notes):
    part = source_input(MemorySource({"p": [b"a", b"b", PAUSE, b"c"]}, batch_lines=2)).build_part("", "p", None)
    items = [part.next_batch() for _ in range(3)]
    assert [[key for key, _ in i] for i in items] == [["p"], [], ["p"]]
    assert [lines_of(i) for i in items] == [[b"a", b"b"], [], [b"c"]]
    with pytest.raises(StopIteration):
        part.next_batch()
    assert notes.turns == 4
    assert [what for what in notes.seen if what[0] == "lag"] == [("lag", "p", 1), ("lag", "p", 0)]


def test_the_lag_is_looked_at_now_and_then_also_where_nothing_comes(source_input, notes, clock):
    part = source_input(MemorySource({"p": [b"a", PAUSE, b"b", PAUSE, b"c"]}, batch_lines=1)).build_part("", "p", None)
    seen = []
    for step in (0.0, 0.0, LAG_EVERY_S / 2, LAG_EVERY_S / 2):
        clock.advance(step)
        part.next_batch()
        seen.append([reported[2] for reported in notes.seen if reported[0] == "lag"])
    assert seen == [[2], [2], [2], [2, 1]]


def test_a_partition_resumes_behind_what_it_handed_out(source_input):
    source = MemorySource({"p": [b"a", b"b", b"c"]}, batch_lines=2)
    part = source_input(source).build_part("", "p", None)
    part.next_batch()
    saved = part.snapshot()
    part.close()
    assert lines_of(source_input(source).build_part("", "p", saved).next_batch()) == [b"c"]


def test_what_the_observer_returns_goes_into_the_flow(clock, stop, line_batch):
    class Replaces(Observer):
        def read(self, batch):
            return line_batch([b"other"], batch.partition)

    part = SourceInput(MemorySource({"p": [b"a"]}), stop, Replaces(), clock).build_part("", "p", None)
    assert lines_of(part.next_batch()) == [b"other"]


# --- absent and back -----------------------------------------------------------------------------


def test_an_absent_broker_delays_the_start_and_is_told(source_input, notes, clock):
    parts = source_input(Absent(MemorySource({"p": []}), questions=3)).list_parts()
    assert parts == ["p"]
    assert notes.seen == [("unavailable", "", "no broker (partitions)")] * 3 + [("available", "")]
    assert clock.monotonic_s() == pytest.approx(3 * UNAVAILABLE_POLL_S)


def test_a_stop_ends_the_waiting_for_an_absent_broker(clock, notes):
    def sleep(seconds):
        clock.advance(seconds)
        if clock.monotonic_s() > 10:
            stop.set()

    stop = StopFlag(sleep)
    source = Absent(MemorySource({"p": []}), questions=10**6)
    with pytest.raises(StoppedEarlyError):
        SourceInput(source, stop, notes, clock, small_lines=0).list_parts()
    assert clock.monotonic_s() < 11


def test_a_stop_before_the_start_still_lets_the_source_name_its_partitions(clock, notes):
    stop = StopFlag(clock.advance)
    stop.set()
    assert SourceInput(MemorySource({"p": []}), stop, notes, clock, small_lines=0).list_parts() == ["p"]


def test_an_unavailable_partition_is_tried_again_after_a_pause_and_nothing_is_lost(source_input, notes, clock):
    source = Absent(MemorySource({"p": [b"a", FAIL, b"b"]}), openings=1)
    part = source_input(source).build_part("", "p", None)
    items = []
    for _ in range(1000):
        items += part.next_batch()
        if len(items) == 2:
            break
    assert lines_of(items) == [b"a", b"b"]
    failures = [n for n in notes.seen if n[0] == "unavailable"]
    assert [n[1] for n in failures] == ["p", "p"]
    assert "no broker (open)" in failures[0][2]
    assert 2 * UNAVAILABLE_POLL_S <= clock.monotonic_s() < 2 * UNAVAILABLE_POLL_S + 0.1


def test_batches_shrink_while_turns_are_slow_and_grow_back(source_input, clock):
    part = source_input(MemorySource({"p": [b"x"] * 10_000}, batch_lines=64)).build_part("", "p", None)
    sizes = []
    for turn_s in [0.1, 1.5, 5.0, 0.5, 5.0] + [5.0] * 6 + [0.1] * 9:
        sizes.append(len(lines_of(part.next_batch())))
        clock.advance(turn_s)
    assert sizes == [64, 64, 32, 16, 16, 8, 4, 2, 1, 1, 1, 1, 1, 1, 1, 2, 4, 8, 16, 32]


def test_a_quiet_source_does_not_count_as_slow(source_input, clock):
    part = source_input(MemorySource({"p": [b"x"] * 4 + [PAUSE] * 3 + [b"x"] * 4}, batch_lines=4)).build_part(
        "", "p", None
    )
    assert len(lines_of(part.next_batch())) == 4
    for _ in range(3):
        assert part.next_batch() == []
        clock.advance(60.0)
    assert len(lines_of(part.next_batch())) == 4


def test_one_unavailable_partition_does_not_slow_the_others(source_input, clock):
    build = source_input(MemorySource({"down": [FAIL, b"x"], "up": [b"a", b"b", b"c"]}, batch_lines=1)).build_part
    down, up = build("", "down", None), build("", "up", None)
    for expected in (b"a", b"b", b"c"):
        assert down.next_batch() == []
        assert lines_of(up.next_batch()) == [expected]
    assert clock.monotonic_s() == 0


def test_a_partition_that_never_opened_keeps_the_state_it_resumed_from(source_input):
    source = Absent(MemorySource({"p": [b"a"]}), openings=10**6)
    for resume in (None, {"place": 1, "line": 1}):
        part = source_input(source).build_part("", "p", plain_pickle.dump(resume))
        assert part.next_batch() == []
        assert plain_pickle.load(part.snapshot()) == resume
        part.close()


def test_a_lost_position_ends_the_flow_instead_of_skipping_lines(clock, stop, notes):
    class Lost(Absent):
        def open(self, partition, resume):
            raise PositionLostError("t/0: offset 5 is gone")

    saved = plain_pickle.dump({"place": 5, "line": 5})
    part = SourceInput(Lost(MemorySource({"p": []})), stop, notes, clock).build_part("", "p", saved)
    with pytest.raises(PositionLostError, match="offset 5 is gone"):
        part.next_batch()


# --- pace ----------------------------------------------------------------------------------------


def test_the_thread_rests_only_once_no_partition_has_anything(source_input, clock):
    build = source_input(
        MemorySource({"idle": [PAUSE] * 9, "busy": [b"a", b"b", PAUSE, PAUSE]}, batch_lines=1)
    ).build_part
    idle, busy = build("", "idle", None), build("", "busy", None)
    rests = deque()
    for _ in range(4):
        before_s = clock.monotonic_s()
        idle.next_batch()
        busy.next_batch()
        rests.append(clock.monotonic_s() > before_s)
    assert list(rests) == [False, False, True, True]


def test_pauses_grow_with_the_time_since_the_last_batch(source_input, clock):
    part = source_input(MemorySource({"p": [*[PAUSE] * 400, b"a", *[PAUSE] * 9]})).build_part("", "p", None)

    def pause_s():
        before_s = clock.monotonic_s()
        batch = part.next_batch()
        return clock.monotonic_s() - before_s if not batch else 0.0

    pauses = [pause_s() for _ in range(400)]
    assert all(later >= earlier - 1e-9 for earlier, later in itertools.pairwise(pauses))
    assert pauses[0] == pytest.approx(IDLE_POLL_S)
    assert pauses[-1] == pytest.approx(LONGEST_IDLE_POLL_S)
    assert sum(p < LONGEST_IDLE_POLL_S for p in pauses[:100]) > 30  # the first tenths of a second
    assert pause_s() == 0
    assert pause_s() == pytest.approx(IDLE_POLL_S)


def test_a_process_that_reads_nothing_rests_once_a_turn_of_its_steps(clock, stop):
    pace = Pace(stop)
    for _ in range(3):
        for _step in range(5):
            pace.idle(clock)
        clock.advance(IDLE_POLL_S / 5)  # what a turn of the loop takes
    assert clock.monotonic_s() == pytest.approx(3 * (IDLE_POLL_S + IDLE_POLL_S / 5), abs=IDLE_POLL_S)
    pace.open, before_s = 1, clock.monotonic_s()
    clock.advance(1)
    pace.idle(clock)
    assert clock.monotonic_s() == before_s + 1


def test_an_ended_partition_does_not_count_for_the_pace(source_input, clock):
    build = source_input(MemorySource({"a": [PAUSE] * 9, "b": [EOF]})).build_part
    a, b = build("", "a", None), build("", "b", None)
    with pytest.raises(StopIteration):
        b.next_batch()
    b.close()
    a.next_batch()
    assert clock.monotonic_s() == pytest.approx(IDLE_POLL_S)


def test_a_wall_clock_that_is_set_back_delays_no_poll(source_input, clock):
    part = source_input(MemorySource({"p": [PAUSE, b"a"]})).build_part("", "p", None)
    part.next_batch()
    clock.jump_wall(-3600)
    # Bytewax compares this with the wall clock; it is due at any time of it.
    assert part.next_awake().timestamp() <= 0
    assert lines_of(part.next_batch()) == [b"a"]


# --- the end -------------------------------------------------------------------------------------


def test_a_stop_ends_every_partition_and_keeps_its_position(source_input, stop):
    part = source_input(MemorySource({"p": [b"a", b"b"]}, batch_lines=1)).build_part("", "p", None)
    part.next_batch()
    stop.set()
    with pytest.raises(StopIteration):
        part.next_batch()
    assert plain_pickle.load(part.snapshot()) == {"place": 1, "line": 1}


def test_close_twice_and_close_before_open_do_no_harm(source_input, clock):
    build = source_input(MemorySource({p: [PAUSE] * 3 for p in "abc"})).build_part
    a, b, c = (build("", p, None) for p in "abc")
    c.close()
    c.close()
    a.next_batch()
    assert clock.monotonic_s() == 0  # b may still have something
    b.next_batch()
    assert clock.monotonic_s() == pytest.approx(IDLE_POLL_S)


def test_a_whole_flow_reads_every_line_of_every_partition(clock, notes):
    lines = {p: [f"{p}{i}".encode() for i in range(50)] for p in "xyz"}
    source = MemorySource({p: [*own[:20], PAUSE, *own[20:], FAIL] for p, own in lines.items()}, batch_lines=7)
    found = []
    flow = Dataflow("t")
    read = op.input("in", flow, SourceInput(source, StopFlag(clock.advance), notes, clock))
    op.output("out", read, TestingSink(found))
    run_main(flow)
    assert {p: lines_of([i for i in found if i[0] == p]) for p in "xyz"} == lines


def test_after_small_batches_lines_are_gathered_for_the_next(stop, notes, clock):
    source = MemorySource({"p": [b"a", b"b", b"c", b"d"]}, batch_lines=1)
    part = SourceInput(source, stop, notes, clock, small_lines=2).build_part("", "p", None)
    assert [lines_of(part.next_batch()) for _ in range(2)] == [[b"a"], [b"b"]]
    for line in (b"c", b"d"):
        began_s, polls = clock.monotonic_s(), 0
        while not (batch := part.next_batch()):
            polls += 1
        assert lines_of(batch) == [line]
        assert polls >= 1
        assert clock.monotonic_s() - began_s == pytest.approx(GATHER_S, abs=IDLE_POLL_S)


def test_many_small_files_are_read_one_after_the_other_without_a_rest(stop, notes, clock, tmp_path):
    for i in range(50):
        (tmp_path / f"{i}.log").write_bytes(b"a\n")
    source = FileSource(FileSettings(paths=(str(tmp_path),)))
    part = SourceInput(source, stop, notes, clock).build_part("", source.partitions()[0], None)
    assert sum(len(lines_of(part.next_batch())) for _ in range(50)) == 50
    assert clock.monotonic_s() == 0


def test_a_large_batch_is_followed_at_once(stop, notes, clock):
    source = MemorySource({"p": [b"a", b"b", b"c", b"d"]}, batch_lines=2)
    part = SourceInput(source, stop, notes, clock, small_lines=2).build_part("", "p", None)
    assert lines_of(part.next_batch()) == [b"a", b"b"]
    assert lines_of(part.next_batch()) == [b"c", b"d"]
