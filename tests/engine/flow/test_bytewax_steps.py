import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from connectors.memory import MemorySource
from engine.clock import ManualClock
from engine.flow.bytewax_steps import DecideStep, ParseStep, ScoreStep, WindowStep
from engine.flow.step import restored, traceparent_of
from engine.flow.worker_context import Context, Drain
from engine.parsing.parsed import Parsed
from engine.records import Rejected, WindowBatch
from engine.settings import from_mapping
from engine.steps.route import by_session
from engine.steps.suspects import STRIKES, Suspects
from engine.telemetry.telemetry import Telemetry, TelemetrySettings
from engine.windows.recent import RecentLines
from engine.windows.window_base import WHOLE_SOURCE
from models.base import template_id

LINES = [
    b"081109 203615 148 INFO dfs.DataNode$PacketResponder: PacketResponder 1 for block blk_1 terminating",
    b"081109 203616 148 INFO dfs.FSNamesystem: BLOCK* NameSystem.addStoredBlock: blk_2 is added",
    b"081109 203617 148 INFO dfs.DataNode$PacketResponder: PacketResponder 2 for block blk_1 terminating",
]


class Scorer:
    hits = misses = 0


class Models:
    """Scores a window 1 if it holds a template that the process does not know."""

    name, version, threshold, scorer = "m", 1, 0.5, Scorer()
    fitted, shadow_scores = None, ()

    def __init__(self, templates):
        self._templates = templates

    def get(self):
        return self

    def watch(self, scored):
        pass

    def score(self, windows):
        rows = (windows.row(i).tolist() for i in range(len(windows)))
        return np.array([any(t not in self._templates for t in row) for row in rows], np.float32)


@pytest.fixture
def clock():
    return ManualClock(wall_ns=1_226_262_975 * 10**9)


@pytest.fixture
def make(clock):
    """The running parts of a process that has just started; state lives only in snapshots."""
    opened = []

    def build(**sections):
        settings = from_mapping(
            {
                "region": "eu",
                "source": {"type": "memory"},
                "parse": {"format": "hdfs"},
                "window": {"kind": "session", "idle_s": 8},
                "model": {"store": "m"},
                "sinks": [{"type": "memory"}],
                "dead_letters": {"type": "memory"},
                "recovery": {"path": "r"},
                **sections,
            },
            "here",
        )
        telemetry = Telemetry(TelemetrySettings(serve=False), clock, {}, "eu")
        opened.append(telemetry)
        templates = {}
        return Context(
            settings, 0, 1, MemorySource({}), clock, Drain(clock, 8.0), templates, RecentLines(1 << 20),
            Models(templates), telemetry,
        )  # fmt: skip

    yield build
    for telemetry in opened:
        telemetry.close()


def value(context, name, **labels):
    return context.telemetry.metrics.registry.get_sample_value(name, labels)


def parsed(context, line_batch, lines=LINES, **place):
    batch = replace(line_batch(lines, **place), read_ns=1_226_263_000 * 10**9)
    """What the windows get of the lines: good ones, and dead letters."""
    items = ParseStep(context, None).on_batch([batch])[0]
    return [item.good if isinstance(item, Parsed) else item for item in items]


# --- parse ---------------------------------------------------------------------------------------


def test_bad_lines_leave_the_way_and_the_good_ones_go_on(make, line_batch):
    context = make()
    bad, good = parsed(context, line_batch, [LINES[0], b"no such format", LINES[1]], partition="p")
    assert isinstance(bad, Rejected)
    assert [letter.place for letter in bad.letters] == ["p:1"]
    assert good.rows.tolist() == [0, 2]
    assert (
        sum(s.value for m in context.telemetry.metrics.bad_lines.collect() for s in m.samples if "total" in s.name) == 1
    )


def test_an_open_journal_entry_ends_with_its_source_but_not_with_a_drain(make, line_batch):
    lines = [b"__CURSOR=s=1", b"__REALTIME_TIMESTAMP=1226262970000000", b"MESSAGE=hello"]
    for drained, count in ((False, 1), (True, 0)):
        context = make(parse={"format": "journald"})
        step = ParseStep(context, None)
        (nothing,) = step.on_batch([replace(line_batch(lines), read_ns=1_226_263_000 * 10**9)])[0]
        assert len(nothing) == 0
        if drained:
            context.drain.request()
        assert sum(len(parsed) for parsed in step.on_eof()[0]) == count
        assert (b"MESSAGE=hello" in step.snapshot()) is drained


def test_a_partition_that_ends_closes_its_windows_and_drops_its_state(make, line_batch):
    context = make()
    batch = replace(line_batch(LINES), read_ns=1_226_263_000 * 10**9, ends_partition=True)
    out, discarded = ParseStep(context, None).on_batch([batch])
    assert discarded
    assert [item.good.lines.ends_partition for item in out] == [True]
    step = WindowStep(context, None)
    (windows,), discarded = step.on_batch([out[0].good])
    assert discarded
    assert sorted(windows.key) == ["blk_1", "blk_2"]
    assert value(context, "driftline_open_sessions") == 0


def test_a_partition_whose_last_line_is_rejected_ends(make, line_batch, tmp_path):
    batch = replace(line_batch(LINES), read_ns=1_226_263_000 * 10**9, ends_partition=True)
    last = int(batch.positions[-1])
    (tmp_path / "suspects.json").write_text(json.dumps([[batch.partition, last, last, STRIKES]]), "utf-8")
    out, discarded = ParseStep(replace(make(), suspects=Suspects(tmp_path)), None).on_batch([batch])
    assert discarded
    assert [type(item) for item in out] == [Parsed, Rejected, Parsed]
    assert out[-1].good.lines.ends_partition


def test_what_the_end_of_a_partition_completes_is_its_last_batch(make, line_batch):
    context = make(parse={"format": "journald"})
    lines = [b"__CURSOR=s=1", b"__REALTIME_TIMESTAMP=1226262970000000", b"MESSAGE=hello"]
    batch = replace(line_batch(lines), read_ns=1_226_263_000 * 10**9, ends_partition=True)
    out, discarded = ParseStep(context, None).on_batch([batch])
    assert discarded
    assert [(len(item), item.good.lines.ends_partition) for item in out] == [(0, False), (1, True)]


def test_bad_lines_that_the_end_of_a_partition_completes_are_dead_letters(make, line_batch):
    context = make(parse={"format": "journald"})
    batch = replace(line_batch([b"__REALTIME_TIMESTAMP=1226262970000000"]), ends_partition=True)
    before, rejected, last = ParseStep(context, None).on_batch([batch])[0]
    assert [letter.reason for letter in rejected.letters] == ["has no message: looked in MESSAGE"]
    assert [(len(item), item.good.lines.ends_partition) for item in (before, last)] == [(0, False), (0, True)]


def test_a_batch_without_lines_keeps_its_trace(make, line_batch):
    batch = replace(line_batch(LINES).lines(0, 0), traceparent="00-1-2-01")
    ((item,), _) = ParseStep(make(), None).on_batch([batch])
    assert [traceparent_of(one) for one in (batch, item, item.good)] == ["00-1-2-01"] * 3


def test_a_shard_outlives_the_partitions_that_it_windows(make, line_batch):
    context = make()
    batch = replace(line_batch(LINES), read_ns=1_226_263_000 * 10**9, ends_partition=True)
    (parsed,), _ = ParseStep(context, None).on_batch([batch])
    for _, part in by_session(parsed.good, 2):
        assert not WindowStep(context, None).on_batch([part])[1]


# --- window --------------------------------------------------------------------------------------


def test_templates_are_known_to_the_process_before_their_windows_leave(make, line_batch):
    context = make(window={"kind": "session", "max_length": 1})
    windows = WindowStep(context, None).on_batch(parsed(context, line_batch))[0]
    assert sum(map(len, windows)) == 3
    assert all(t in context.templates for batch in windows for t in batch.windows.ids.tolist())


def test_windows_that_end_right_after_a_restart_hold_known_templates(make, line_batch):
    before = make()
    step = WindowStep(before, None)
    assert step.on_batch(parsed(before, line_batch))[0] == []
    after = make()
    (windows,) = WindowStep(after, step.snapshot()).on_eof()[0]
    assert all(t in after.templates for t in windows.windows.ids.tolist())
    assert {template_id(text): text for text in after.templates.values()} == after.templates


def test_a_drain_keeps_windows_open_and_the_end_of_a_source_closes_them(make, line_batch):
    context = make()
    step = WindowStep(context, None)
    step.on_batch(parsed(context, line_batch))
    context.drain.request()
    assert step.on_eof()[0] == []
    (windows,) = WindowStep(make(), step.snapshot()).on_eof()[0]
    assert sorted(windows.key) == ["blk_1", "blk_2"]


def test_a_steady_stream_does_not_put_off_the_closing_of_idle_windows(make, line_batch, clock):
    context = make()
    step = WindowStep(context, None)
    step.on_batch(parsed(context, line_batch))
    found = []
    for i in range(40):
        clock.advance(0.3)
        other = LINES[0].replace(b"blk_1", b"blk_9")
        step.on_batch(parsed(context, line_batch, [other], first=10 + i))
        if step.notify_at() <= datetime.now(UTC):
            found += step.on_notify()[0]
    assert sorted(k for batch in found for k in batch.key) == ["blk_1", "blk_2"]


def test_a_timer_that_fires_early_does_nothing(make, clock):
    step = WindowStep(make(), None)
    clock.jump_wall(3600)
    assert step.on_notify()[0] == []


def test_late_lines_become_dead_letters_with_place_and_reason(make, line_batch):
    context = make(window={"kind": "session", "gap_s": 1})
    step = WindowStep(context, None)
    late = LINES[0].replace(b"203615", b"103615")
    out = step.on_batch(parsed(context, line_batch, [LINES[2], late], partition="p"))[0]
    (rejected,) = [item for item in out if isinstance(item, Rejected)]
    (letter,) = rejected.letters
    assert (letter.place, letter.raw, letter.raw_bytes) == ("p:1", late, len(late))
    assert "late by" in letter.reason
    assert value(context, "driftline_late_lines_total") == 1
    assert context.recent.lines_of("p", WHOLE_SOURCE, 0, 1, 9) == [LINES[2]], "what alerts may quote"


def test_partitions_share_one_count_of_open_sessions(make, line_batch):
    context = make()
    for partition in ("a", "b"):
        WindowStep(context, None).on_batch(parsed(context, line_batch, partition=partition))
    assert value(context, "driftline_open_sessions") == 4


# --- score and decide ----------------------------------------------------------------------------


def test_waiting_windows_are_scored_after_a_restart_with_their_templates(make, window_batch, window, clock):
    before = make()
    texts = ["a", "b", "elsewhere"]
    before.templates.update({template_id(t): t for t in texts})
    step = ScoreStep(before, None)
    assert step.on_batch([window_batch(window(rows=(template_id("a"), template_id("b"))))])[0] == []
    saved = step.snapshot()
    assert sorted(restored(saved)["templates"]) == ["a", "b"]
    after = make()
    resumed = ScoreStep(after, saved)
    assert resumed.notify_at() is not None
    assert resumed.on_notify()[0] == []  # not due yet
    clock.advance(0.02)
    (scored,) = resumed.on_notify()[0]
    assert scored.score.tolist() == [0.0]
    assert value(after, "driftline_model_version", model="m") == 1


def test_nothing_is_due_while_nothing_waits(make):
    step = ScoreStep(make(), None)
    assert step.notify_at() is None
    assert step.on_notify()[0] == step.on_eof()[0] == []


def test_a_drain_scores_what_waits(make, window_batch, window):
    context = make()
    step = ScoreStep(context, None)
    step.on_batch([window_batch(window())])
    context.drain.request()
    assert len(step.on_eof()[0]) == 1


def test_windows_leave_with_the_alerts_that_are_due_and_the_rest_is_counted(make, scored, window):
    context = make()
    step = DecideStep(context, None)
    calm, alarm = scored(window(score=0.1)), scored(window(score=0.9), window(score=0.9))
    found = step.on_batch([calm, alarm])[0]
    assert [d.scored for d in found] == [calm, alarm]
    assert [d.anomalous.tolist() for d in found] == [[False], [True, True]]
    assert [[decision.index for decision in d.decisions] for d in found] == [[], [0]]
    again = DecideStep(make(), step.snapshot())
    assert [d.decisions for d in again.on_batch([scored(window(score=0.9))])[0]] == [()]


def test_windows_are_what_a_window_step_hands_on(make, line_batch):
    context = make(window={"kind": "session", "max_length": 1})
    assert all(isinstance(w, WindowBatch) for w in WindowStep(context, None).on_batch(parsed(context, line_batch))[0])
