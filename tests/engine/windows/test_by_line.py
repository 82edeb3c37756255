"""The vectorised windowers give what a plain loop over lines gives, however the stream is cut and resumed."""

import dataclasses
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.base import LineBatch
from engine.clock import ManualClock
from engine.records import NO_SESSION, ParsedLines
from engine.steps.window import SessionWindows, SlidingWindows, TimeWindows, build_windower
from engine.windows import table_log
from models.base import template_id

SECOND = 1_000_000_000
READ_NS = 2_000 * SECOND


@dataclasses.dataclass(frozen=True)
class Line:
    time_s: float
    key: str
    template: int
    partition: str = "p/0"


def parsed(lines: list[Line], first_position: int) -> ParsedLines:
    """The columns of lines of one partition; the text of a line is its key."""
    data = b"".join(line.key.encode() + b"\n" for line in lines)
    ends = np.cumsum([len(line.key.encode()) + 1 for line in lines]) - 1
    n = len(lines)
    positions = first_position + np.arange(n, dtype=np.int64) * 10
    batch = LineBatch(lines[0].partition, data, ends.astype(np.int64), positions, READ_NS, READ_NS)
    starts = np.concatenate([[0], ends[:-1] + 1])
    return ParsedLines(
        lines=batch,
        rows=np.arange(n, dtype=np.int32),
        time_ns=np.array([round(line.time_s * SECOND) for line in lines], np.int64),
        template=np.array([line.template for line in lines], np.int64),
        session=np.array([hashed(line.key) for line in lines], np.int64),
        key_start=starts.astype(np.int32),
        key_end=ends.astype(np.int32),
        templates={},
        bad=(),
    )


def hashed(key: str) -> int:
    # Keys a0, a1 … agree in all but the lowest bits, so that grouping meets its collisions.
    if not key:
        return NO_SESSION
    return int(key[1:]) + 1 if key[0] == "a" else -(int.from_bytes(key.encode().ljust(8, b"x"), "big") >> 2)


def rows_of(batch) -> list[tuple]:
    if batch is None:
        return []
    w = batch.windows
    return [
        (
            batch.partition[i], int(batch.session[i]), batch.key[i], w.row(i).tolist(), bool(w.closed[i]),
            int(batch.first[i]), int(batch.last[i]), int(batch.first_ns[i]), int(batch.last_ns[i]),
        )
        for i in range(len(batch))
    ]  # fmt: skip


def run(spec, stream: list[Line], cuts: set[int], resume: set[int] = frozenset(), folder: Path | None = None):
    """All windows and all late lines (as indices in the stream), cut, saved and resumed at the given places."""
    clock = ManualClock(READ_NS)
    windower = build_windower(spec, clock, None, folder)
    windows, late, seen = [], [], {}
    start = 0
    while start < len(stream):
        end = start + 1
        while end < len(stream) and end not in cuts and stream[end].partition == stream[start].partition:
            end += 1
        part = stream[start:end]
        name = part[0].partition
        result = windower.add(parsed(part, seen.get(name, 0) * 10))
        seen[name] = seen.get(name, 0) + len(part)
        windows += rows_of(result.windows)
        late += [start + line.row for line in result.late]
        state = windower.snapshot()
        if end in resume:
            windower = build_windower(spec, clock, state, folder)
        start = end
    windows += rows_of(windower.close_all())
    assert windower.open_windows == 0
    return windows, late


def by_line_sessions(spec: SessionWindows, stream: list[Line]):
    """Session windows of several partitions, one line at a time."""
    gap, lateness = round(spec.gap_s * SECOND), round(spec.allowed_lateness_s * SECOND)
    sessions: dict = {}
    out, late, latest, seen, watermark = [], [], {}, {}, -(1 << 62)

    def emit(ended: list) -> None:
        ended.sort(key=lambda s: (s["last_ns"] + gap, s["first"], s["id"]))
        for s in ended:
            out.append(window(s, True))

    def window(s, closed: bool):
        place = (s["first"], s["last"], s["first_ns"], s["last_ns"])
        return (s["partition"], s["session"], s["key"], list(s["ids"]), closed, *place)

    for i, line in enumerate(stream):
        t = round(line.time_s * SECOND)
        position = seen.get(line.partition, 0) * 10
        seen[line.partition] = seen.get(line.partition, 0) + 1
        latest[line.partition] = max(latest.get(line.partition, -(1 << 62)), t)
        watermark = max(watermark, min(latest.values()) - lateness)
        key = hashed(line.key) if line.key else template_id(f"lines without a session key in {line.partition}")
        is_late = t < watermark - gap
        ended = [k for k, s in sessions.items() if s["last_ns"] + gap < watermark]
        skipped = not line.key and spec.unkeyed == "skip"
        if key in sessions and not is_late and not skipped and t - sessions[key]["last_ns"] > gap and key not in ended:
            ended.append(key)
        emit([sessions.pop(k) for k in ended])
        if is_late:
            late.append(i)
        if is_late or skipped:
            continue
        s = sessions.get(key)
        if s is None:
            s = sessions[key] = {
                "id": key,
                "partition": line.partition,
                "session": hashed(line.key),
                "key": line.key,
                "ids": [],
                "first": position,
                "last": position,
                "first_ns": t,
                "last_ns": t,
            }
        s["ids"].append(line.template)
        s["first_ns"], s["last_ns"] = min(s["first_ns"], t), max(s["last_ns"], t)
        if line.partition == s["partition"]:
            s["last"] = position
        if len(s["ids"]) == spec.max_length:
            out.append(window(sessions.pop(key), True))
        elif len(s["ids"]) in spec.steps():
            out.append(window(s, False))
    emit(list(sessions.values()))
    return out, late


def by_line_time(spec: TimeWindows, stream: list[Line]):
    length = round(spec.length_s * SECOND)
    slide = length if spec.slide_s is None else round(spec.slide_s * SECOND)
    lateness = round(spec.allowed_lateness_s * SECOND)
    opened: dict = {}
    out, late, watermark = [], [], -(1 << 62)

    def window(s):
        place = (s["first"], s["last"], s["first_ns"], s["last_ns"])
        return (s["partition"], s["session"], s["key"], s["ids"], True, *place)

    def emit(keys: list) -> None:
        out.extend(window(opened.pop(k)) for k in sorted(keys, key=lambda k: (k[1], opened[k]["first"])))

    for i, line in enumerate(stream):
        t = round(line.time_s * SECOND)
        watermark = max(watermark, t - lateness)
        emit([k for k in opened if k[1] * slide + length <= watermark])
        numbers = [n for n in range((t - length) // slide + 1, t // slide + 1) if n * slide + length > watermark]
        if not numbers:
            late.append(i)
        session = -1 if spec.per == "source" else hashed(line.key)
        for n in numbers:
            s = opened.setdefault((session, n), {
                "partition": line.partition, "session": session, "key": "" if spec.per == "source" else line.key,
                "ids": [], "first": i * 10, "first_ns": t, "last_ns": t})  # fmt: skip
            s["ids"].append(line.template)
            s["last"], s["first_ns"], s["last_ns"] = i * 10, min(s["first_ns"], t), max(s["last_ns"], t)
            if len(s["ids"]) == spec.max_length:
                out.append(window(opened.pop((session, n))))
    emit(list(opened))
    return out, late


def by_line_sliding(spec: SlidingWindows, stream: list[Line]):
    lines_of: dict = {}
    out = []

    def window(key, part):
        times = [t for _, t, _ in part]
        return ("p/0", key[0], key[1], [m for _, _, m in part], True, part[0][0], part[-1][0], min(times), max(times))

    rests = []
    for i, line in enumerate(stream):
        key = (-1, "") if spec.per == "source" else (hashed(line.key), line.key)
        held = lines_of.setdefault(key, [])
        held.append((i * 10, round(line.time_s * SECOND), line.template))
        if len(held) >= spec.size and (len(held) - spec.size) % spec.stride == 0:
            out.append(window(key, held[-spec.size :]))
    for key, held in lines_of.items():
        windows = max((len(held) - spec.size) // spec.stride + 1, 0)
        covered = (windows - 1) * spec.stride + spec.size if windows else 0
        if len(held) > max(covered, windows * spec.stride):
            rests.append(window(key, held[windows * spec.stride :]))
    return out + sorted(rests, key=lambda w: w[5]), []


REFERENCE = {"session": by_line_sessions, "time": by_line_time, "sliding": by_line_sliding}

keys = st.sampled_from(["", "a0", "a1", "a2", "a3", "b0", "b1"])


steps = st.sampled_from([0.0, 0.0, 0.0, 0.5, 1.0, 3.0, 12.0])
delays = st.sampled_from([0.0, 0.0, 0.0, 0.5, 2.0, 7.0, 40.0])


def streams(partitions: int = 1) -> st.SearchStrategy[list[Line]]:
    """Mostly advancing times with some disorder, and a few jumps."""
    moves = st.tuples(steps, delays, st.integers(0, partitions - 1), keys, st.integers(0, 4))
    return st.lists(moves, min_size=1, max_size=60).map(stream_of)


def stream_of(moves: list[tuple[float, float, int, str, int]]) -> list[Line]:
    """The lines that the moves describe: each comes a given time after the one before, and arrives with a delay."""
    now, lines = 100.0, []
    for step, delay, partition, key, template in moves:
        now += step
        lines.append(Line(now - delay, key, template, f"p/{partition}"))
    return lines


session_settings = st.builds(
    SessionWindows,
    gap_s=st.sampled_from([0.5, 2.0, 5.0, 100.0]),
    max_length=st.sampled_from([1, 2, 3, 5, 64]),
    growth=st.sampled_from([(), (1,), (2, 3), (1, 2, 4, 9, 20)]),
    allowed_lateness_s=st.sampled_from([0.0, 1.0, 10.0]),
    unkeyed=st.sampled_from(["window", "skip"]),
)
time_settings = st.builds(
    TimeWindows,
    length_s=st.just(6.0),
    slide_s=st.sampled_from([None, 2.0, 2.5, 6.0]),
    allowed_lateness_s=st.sampled_from([0.0, 5.0]),
    per=st.sampled_from(["source", "session"]),
    max_length=st.sampled_from([1, 3, 64]),
)
sliding_settings = st.builds(
    SlidingWindows,
    size=st.integers(1, 7),
    stride=st.integers(1, 9),
    per=st.sampled_from(["source", "session"]),
)
places = st.sets(st.integers(0, 60))


@pytest.mark.parametrize("kind", ["session", "time", "sliding"])
def test_any_cutting_and_any_resume_gives_what_a_loop_over_lines_gives(kind: str) -> None:
    spec_of = {"session": session_settings, "time": time_settings, "sliding": sliding_settings}[kind]

    @settings(max_examples=120, deadline=None)
    @given(spec_of, streams(), places, places)
    def law(spec, stream, cuts, resume) -> None:
        expected = REFERENCE[kind](spec, stream)
        assert run(spec, stream, set()) == expected
        assert run(spec, stream, cuts | resume, resume) == expected

    law()


@pytest.mark.parametrize("kind", ["session", "time", "sliding"])
def test_windows_resumed_from_parts_are_those_of_a_loop_over_lines(kind: str, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(table_log, "SMALL", 0)
    monkeypatch.setattr(table_log, "MOST_PARTS", 500)  # of 1,024 slots: the sweep does not reach all of them each time
    monkeypatch.setattr(os, "fsync", lambda _: None)  # thousands of files
    spec_of = {"session": session_settings, "time": time_settings, "sliding": sliding_settings}[kind]

    @settings(max_examples=60, deadline=None)
    @given(spec_of, streams(), places, places)
    def law(spec, stream, cuts, resume) -> None:
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            assert run(spec, stream, cuts | resume, resume, Path(folder)) == REFERENCE[kind](spec, stream)

    law()


@settings(max_examples=120, deadline=None)
@given(session_settings, streams(partitions=3), places, places)
def test_sessions_across_partitions_do_not_depend_on_the_cutting(spec, stream, cuts, resume) -> None:
    assert run(spec, stream, cuts | resume, resume) == by_line_sessions(spec, stream)


@settings(max_examples=60, deadline=None)
@given(session_settings, streams())
def test_every_line_is_in_exactly_one_closed_window_or_late(spec, stream) -> None:
    windows, late = run(spec.model_copy(update={"unkeyed": "window"}), stream, {7, 20})
    lines = sum(len(w[3]) for w in windows if w[4])
    assert lines + len(late) == len(stream)
