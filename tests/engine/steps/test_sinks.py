import pytest
from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.errors import BytewaxRuntimeError
from bytewax.testing import TestingSource, run_main

from connectors.base import Record, SettingsError
from connectors.memory import MemorySink
from engine.clock import ManualClock
from engine.flow.worker_context import Drain
from engine.steps.sinks import RETRY_PAUSE_S, DrainTimeoutError, SinkObserver, SinkOutput, try_out
from engine.stop_flag import StopFlag
from foundation import plain_pickle


def record(i):
    return Record(f"id{i}", "s", {"n": i})


class Notes(SinkObserver):
    def __init__(self):
        self.seen = []

    def delivered(self, sink, pending):
        self.seen.append(("delivered", sink, pending))

    def refused(self, sink, reason, pending):
        self.seen.append(("refused", sink, pending))


class World:
    """A sink, and a clock whose pauses make things happen at their time."""

    def __init__(self):
        self.clock = ManualClock()
        self.events = []  # (time in s, what happens)
        self.stop = StopFlag(self.sleep)
        self.drain = Drain(self.clock, 8.0, self.stop)
        self.sink = MemorySink()
        self.notes = Notes()

    def sleep(self, seconds):
        self.clock.advance(seconds)
        due = [what for at, what in self.events if at <= self.clock.monotonic_s()]
        self.events = [e for e in self.events if e[0] > self.clock.monotonic_s()]
        for what in due:
            what()

    def at(self, seconds, what):
        self.events.append((seconds, what))

    def accept(self):
        self.sink.refusing = False

    def output(self, **more):
        return SinkOutput(
            "alerts", lambda _: self.sink, ["0"], self.notes, expired=self.drain.expired, stop=self.stop, **more
        )

    def part(self, resume=None, **more):
        return self.output(**more).build_part("", "0", resume)


@pytest.fixture
def world():
    return World()


# --- acknowledgement before positions ------------------------------------------------------------


def test_a_snapshot_returns_only_once_everything_is_acknowledged(world):
    part = world.part()
    part.write_batch([record(0), record(1)])
    assert world.sink.delivered == []
    assert plain_pickle.load(part.snapshot()) == {"count": 2}
    assert world.sink.delivered == [record(0), record(1)]
    assert world.notes.seen[-1] == ("delivered", "alerts", 0)


def test_a_refusing_sink_holds_the_epoch_open_and_nothing_is_lost(world):
    part = world.part()
    part.write_batch([record(i) for i in range(5)])
    world.sink.fail_after = 2
    world.at(3.0, world.accept)
    assert plain_pickle.load(part.snapshot()) == {"count": 5}
    assert world.sink.delivered == [record(i) for i in range(5)]
    assert world.clock.monotonic_s() == pytest.approx(3.0, abs=RETRY_PAUSE_S)
    refusals = [n for n in world.notes.seen if n[0] == "refused"]
    assert set(refusals) == {("refused", "alerts", 3)}
    assert len(refusals) == pytest.approx(3.0 / RETRY_PAUSE_S, abs=1)


def test_a_sink_that_is_absent_at_the_start_is_waited_for(world):
    world.sink.refusing = True
    world.at(2.0, world.accept)
    part = world.part()
    assert world.clock.monotonic_s() == pytest.approx(2.0, abs=RETRY_PAUSE_S)
    part.write_batch([record(0)])
    part.snapshot()
    assert world.sink.delivered == [record(0)]


def test_settings_that_cannot_work_are_not_retried(world):
    def refuse(_resume):
        raise SettingsError("topic: 'a b' is no topic name")

    world.sink.open = refuse
    with pytest.raises(SettingsError, match="no topic name"):
        world.part()


# --- back-pressure -------------------------------------------------------------------------------


def test_too_many_unacknowledged_records_make_writing_wait(world):
    part = world.part(max_pending=3)
    part.write_batch([record(i) for i in range(3)])
    assert world.sink.pending() == 3
    part.write_batch([record(3)])
    assert world.sink.pending() == 0
    world.sink.refusing = True
    world.at(1.0, world.accept)
    part.write_batch([record(i) for i in range(4, 8)])
    assert world.clock.monotonic_s() >= 1.0
    assert [r.id for r in world.sink.delivered] == [f"id{i}" for i in range(8)]


# --- stop ----------------------------------------------------------------------------------------


def test_a_stop_waits_its_patience_for_a_refusing_sink_and_then_says_so(world):
    part = world.part()
    part.write_batch([record(0)])
    world.sink.refusing = True
    world.at(5.0, world.drain.request)
    with pytest.raises(DrainTimeoutError, match="sink alerts: the memory sink refuses"):
        part.snapshot()
    assert world.clock.monotonic_s() == pytest.approx(13.0, abs=2 * RETRY_PAUSE_S)


def test_a_stop_during_the_wait_for_an_absent_sink_ends_it_too(world):
    world.sink.refusing = True
    world.at(1.0, world.drain.request)
    with pytest.raises(DrainTimeoutError):
        world.part()


def test_a_sink_that_comes_back_within_the_patience_loses_nothing(world):
    part = world.part()
    part.write_batch([record(0)])
    world.sink.refusing = True
    world.drain.request()
    world.at(6.0, world.accept)
    part.snapshot()
    assert world.sink.delivered == [record(0)]


def test_a_second_request_does_not_prolong_the_patience(world):
    world.drain.request()
    world.clock.advance(7)
    world.drain.request()
    world.clock.advance(1.5)
    assert world.drain.expired()


# --- recovery and the flow -----------------------------------------------------------------------


def test_repeats_after_a_crash_are_dropped_by_the_resumed_sink(world):
    before = world.part()
    before.write_batch([record(0)])
    saved = before.snapshot()
    before.write_batch([record(1)])
    world.sink.flush(1.0)  # acknowledged, and then the crash before the snapshot was saved
    world.sink = MemorySink(world.sink.delivered)
    after = world.part(saved)
    after.write_batch([record(1), record(2)])
    after.snapshot()
    assert [r.id for r in world.sink.delivered] == ["id0", "id1", "id2"]


def test_each_shard_writes_to_its_own_partition(world):
    sinks = {shard: MemorySink() for shard in ("0", "1")}
    output = SinkOutput(
        "alerts", sinks.__getitem__, ["0", "1"], world.notes, expired=world.drain.expired, stop=world.stop
    )
    assert output.list_parts() == ["0", "1"]
    flow = Dataflow("t")
    items = op.input("in", flow, TestingSource([(str(i % 2), record(i)) for i in range(6)]))
    op.output("out", items, output)
    run_main(flow)
    assert [r.id for r in sinks["0"].delivered] == ["id0", "id2", "id4"]
    assert [r.id for r in sinks["1"].delivered] == ["id1", "id3", "id5"]


def test_the_end_of_a_flow_delivers_what_is_pending_although_it_is_refused_for_a_while(world):
    world.sink.fail_after = 1
    world.at(1.0, world.accept)
    flow = Dataflow("t")
    op.output("out", op.input("in", flow, TestingSource([("0", record(i)) for i in range(3)])), world.output())
    run_main(flow)
    assert [r.id for r in world.sink.delivered] == ["id0", "id1", "id2"]


def test_a_drain_that_ran_out_of_patience_ends_the_flow_with_its_reason(world):
    world.sink.fail_after = 0
    world.drain.request()
    flow = Dataflow("t")
    op.output("out", op.input("in", flow, TestingSource([("0", record(0))])), world.output())
    with pytest.raises(BytewaxRuntimeError) as error:
        run_main(flow)
    assert isinstance(error.value.__cause__, DrainTimeoutError)


def test_trying_out_waits_for_the_other_side():
    world = World()
    world.sink.refusing = True
    world.at(1.0, world.accept)
    assert try_out("alerts", world.sink, world.notes, world.stop)
    assert world.notes.seen[-1] == ("delivered", "alerts", 0)
    assert [what for what, *_ in world.notes.seen[:-1]] == ["refused"] * (len(world.notes.seen) - 1)
    assert 1.0 <= world.clock.monotonic_s() < 1.0 + 2 * RETRY_PAUSE_S


def test_trying_out_ends_with_a_stop():
    world = World()
    world.sink.refusing = True
    world.at(1.0, world.drain.request)
    assert not try_out("alerts", world.sink, world.notes, world.stop)
