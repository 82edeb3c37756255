"""Scenario `memory-sessions`: the window step alone with a million open sessions.

Every line belongs to another session, drawn from all that are active, which is the worst order for caches and for
batching. Sessions begin, get `lines_per_session` lines on average, pause, and are closed by the watermark, so that
about `sessions` of them are open all the time: first half of the lines that they will get, at once, then `lines`
more in a steady state. Then a snapshot is taken every `snapshot_lines` lines, a second of them. Lines are made outside
the timed part.
"""

import gc
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.harness import Outcome, Run, Scenario, Target
from bench.machine import peak_rss_bytes, rss_bytes
from connectors.base import LineBatch
from engine.clock import SystemClock
from engine.records import ParsedLines
from engine.steps.window import SessionWindows, Windower, build_windower

_KEY = np.frombuffer(b"blk_0000000000000000000\n", np.uint8)
_DIGITS = slice(4, 23)
_LINE_NS = 10_000
"""Event time between two lines: 100,000 lines a second."""
_GAP_LINES = 4_000_000
"""The gap in lines: the next line of a session comes after 0.8 million on average, so few sessions are torn."""
_SNAPSHOTS = 40
"""More than the parts that a sweep over all sessions takes."""
_BEGIN_NS = 1_700_000_000 * 10**9


def memory_sessions(run: Run) -> Outcome:
    """See the module. Settings: `sessions`, `lines`, `lines_per_session`, `batch_lines`, `snapshot_lines`, `seed`."""
    sessions, lines = run.setting("sessions", 1_000_000), run.setting("lines", 20_000_000)
    mean, batch_lines = run.setting("lines_per_session", 19), run.setting("batch_lines", 4000)
    # A small run has a gap to match. Open are the active ones that had a line (all but one in `mean`), and of those
    # that had their last line the ones that wait for the gap to pass (about four in five); 3 % are for safety.
    gap_lines = min(_GAP_LINES, sessions * 4)
    active = int(1.03 * (sessions - 0.8 * gap_lines / mean) / (1 - 1 / mean))
    settings = SessionWindows(gap_s=gap_lines * _LINE_NS / 1e9, max_open=2 * sessions)
    rng = np.random.default_rng(run.setting("seed", 0))
    gc.collect()
    before = rss_bytes(os.getpid())

    fill = active * mean // 2 + gap_lines
    folder = tempfile.TemporaryDirectory(prefix="driftline-bench-")
    windower = build_windower(settings, SystemClock(), None, Path(folder.name))
    stream = _stream(rng, active, mean, batch_lines)
    _feed(windower, stream, fill // batch_lines, run, "fill")
    metrics: dict[str, int | float] = {
        "rss_start_bytes": before,
        "rss_full_bytes": rss_bytes(os.getpid()),
        "open_sessions": windower.open_windows,
    }
    seconds, batches = 0.0, lines // batch_lines
    for share in (25, 50, 75, 100):
        seconds += _feed(windower, stream, batches // 4, run, f"to {share} %")
        metrics[f"rss_{share}_bytes"] = rss_bytes(os.getpid())
    metrics["open_sessions_end"] = windower.open_windows
    metrics["windows"] = windower.counters.emitted
    metrics["lines_per_s"] = batches // 4 * 4 * batch_lines / seconds
    with folder:
        metrics |= _snapshots(windower, stream, run.setting("snapshot_lines", 100_000) // batch_lines, run)
        metrics |= _restored(settings, windower, Path(folder.name))
    # With a snapshot and the state restored from it next to the first.
    metrics["rss_peak_bytes"] = peak_rss_bytes(os.getpid())
    samples = ("rss_full_bytes", "rss_25_bytes", "rss_50_bytes", "rss_75_bytes", "rss_100_bytes", "rss_snapshot_bytes")
    metrics["rss_bytes"] = max(metrics[name] for name in samples)
    metrics["rss_delta_bytes"] = metrics["rss_bytes"] - before
    return Outcome(metrics)


def _feed(windower: Windower, stream: Iterator[ParsedLines], batches: int, run: Run, stage: str) -> float:
    """Seconds that the window step took for this many batches."""
    seconds = 0.0
    for i in range(batches):
        lines = next(stream)
        started = time.perf_counter()
        windower.add(lines)
        seconds += time.perf_counter() - started
        if i % 100 == 0:
            run.progress(stage, i, batches)
    return seconds


def _snapshots(windower: Windower, stream: Iterator[ParsedLines], batches: int, run: Run) -> dict[str, int | float]:
    """Cost of snapshots every so many batches; the first one, which holds everything, is apart."""
    seconds: list[float] = []
    written: list[int] = []
    for i in range(1 + _SNAPSHOTS):
        _feed(windower, stream, batches, run, f"snapshot {i} of {_SNAPSHOTS}")
        started = time.perf_counter()
        state = windower.snapshot()
        seconds.append(time.perf_counter() - started)
        written.append(len(state) + windower.part_bytes)
    return {
        "snapshot_s": statistics.median(seconds[1:]),
        "snapshot_max_s": max(seconds[1:]),
        "snapshot_bytes": round(statistics.mean(written[1:])),
        "snapshot_all_s": seconds[0],
        "snapshot_all_bytes": written[0],
        "rss_snapshot_bytes": rss_bytes(os.getpid()),
    }


def _restored(settings: SessionWindows, windower: Windower, folder: Path) -> dict[str, int | float]:
    state = windower.snapshot()
    started = time.perf_counter()
    again = build_windower(settings, SystemClock(), state, folder)
    seconds = time.perf_counter() - started
    if again.open_windows != windower.open_windows:
        raise RuntimeError(f"{windower.open_windows} sessions saved, {again.open_windows} restored")
    files = sum(path.stat().st_size for path in folder.rglob("*.part"))
    return {"restore_s": seconds, "snapshot_files_bytes": files}


def _stream(rng: np.random.Generator, active: int, mean: int, batch_lines: int) -> Iterator[ParsedLines]:
    """Endless batches; the active sessions are the `active` newest, and one begins every `mean` lines."""
    position = 0
    place = np.arange(batch_lines, dtype=np.int64)
    ends = (place + 1) * len(_KEY) - 1
    rows = place.astype(np.int32)
    starts = (place * len(_KEY)).astype(np.int32)
    while True:
        newest = active + (position + place) // mean
        numbers = newest - rng.integers(0, active, batch_lines)
        now = time.time_ns()
        batch = LineBatch("bench/0", _text(numbers), ends, position + place, now, now)
        yield ParsedLines(
            lines=batch,
            rows=rows,
            time_ns=_BEGIN_NS + (position + place) * _LINE_NS,
            template=rng.integers(1, 50, batch_lines),
            session=_hash(numbers),
            key_start=starts,
            key_end=ends.astype(np.int32),
            templates={},
            bad=(),
        )
        position += batch_lines


def _text(numbers: NDArray[np.int64]) -> bytes:
    """One line of a fixed width for each number."""
    lines = np.tile(_KEY, (len(numbers), 1))
    digits = numbers[:, None] // 10 ** np.arange(18, -1, -1) % 10
    lines[:, _DIGITS] += digits.astype(np.uint8)
    return lines.tobytes()


def _hash(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Well-spread int64, never 0 for the numbers used here (an odd factor loses nothing)."""
    spread = (numbers + 1).view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return (spread ^ (spread >> np.uint64(32))).view(np.int64)


MEMORY_SESSIONS = Scenario(
    "memory-sessions",
    "Memory with one million open sessions, and its growth over 20 million lines",
    memory_sessions,
    {
        "rss_bytes": Target(better="lower", goal=2 << 30, floor=4 << 30, tolerance=0.1),
        "snapshot_s": Target(better="lower", floor=0.1, tolerance=0.3),
    },
)
