"""Scenario drift-everyday: what the drift monitor sees at its default settings in streams as operators have them.

Real logs with all their bursts, and a made-up one with a daily rhythm. Each kind of change comes early, late, and
a short while after a swap of the model. The model in service is an unsupervised one that learnt the first
thousand windows; the swap brings the same one as another version.
"""

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.data.everyday_streams import (
    CHANGES,
    STRIDE,
    NoTemplateError,
    StreamChange,
    StreamLines,
    daily_rhythm,
    everyday_logs,
)
from bench.harness import Number, Outcome, Run, Scenario, Target
from engine.drift.event import DriftEvent
from engine.drift.monitor import DriftMonitor
from engine.drift.settings import DriftSettings
from models.train_detector import TrainSettings, train
from models.training.scoring import WindowScorer

LEARNT_WINDOWS = 1_000
BATCH = 2_000
SOON, LATE, SWAP = 1_000, 5_000, 4_000
"""Windows before a change: early, late; and those before a swap that a late change follows."""
HORIZON = 6_000
"""Windows after a change in which it has to be found."""
_DAY_NS = 86_400 * 10**9
_RHYTHM_DAYS = 3
"""Days of the rhythm before a change."""


KINDS = {"new_component": "new_templates", "vanished": "vanished", "tripled": "rate", "renamed": "renamed"}
"""The kind that an event of each change should have."""


@dataclass(frozen=True, slots=True)
class DriftCase:
    """A change in a log, and what is expected of the monitor.

    Attributes:
        kind: Name in `CHANGES`.
        at: Window of the change.
        swap: Window from which another version scores; None without a swap.
    """

    log: str
    kind: str
    change: StreamChange
    at: int
    swap: int | None

    @property
    def place(self) -> str:
        """Where in the stream the change comes."""
        return "after a swap" if self.swap is not None else "early" if self.at == SOON else "late"


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What came of a case: windows from the change to its event, None if not found; share of right names; the kind."""

    case: DriftCase
    delay: int | None
    named: float
    kind: str = ""


def drift_everyday(run: Run) -> Outcome:
    """Changes found and how fast, what their events name, and events of unchanged streams.

    The detail is the matrix: by log, change and place, how many were found, how fast, and with what names.
    """
    lines, seeds, logs = run.setting("lines", 220_000), run.setting("seeds", 2), run.setting("logs", "")
    false: Counter[str] = Counter()
    unchanged: Counter[str] = Counter()
    ready, late_rhythm = [], 0
    verdicts: list[CaseResult] = []
    for seed in range(seeds):
        streams = {**everyday_logs(lines, seed), "rhythm": daily_rhythm(seed=seed)}
        streams = {name: stream for name, stream in streams.items() if name in (logs.split(",") if logs else streams)}
        for number, (name, stream) in enumerate(streams.items()):
            scorer = _scorer(stream)
            events, first = _watch(stream, scorer, None)
            false[name] += len(events)
            unchanged[name] += len(stream.ids)
            ready.append(first)
            if name == "rhythm":
                late_rhythm += sum(e.time_ns - int(stream.time_ns[0]) > _DAY_NS for e in events)
            verdicts += [_judged(case, scorer) for case in _cases(name, stream)]
            run.progress("streams", seed * len(streams) + number + 1, seeds * len(streams))
    return Outcome(
        {
            **_figures(verdicts),
            "false_per_100k_lines": false.total() / unchanged.total() * 100_000,
            "rhythm.events_after_first_day": late_rhythm / seeds,
            "ready_windows": float(np.median(ready)),
        },
        detail={
            "matrix": _matrix(verdicts),
            "false_per_100k_lines": {name: false[name] / lines * 100_000 for name, lines in unchanged.items()},
        },
    )


def _matrix(verdicts: list[CaseResult]) -> list[dict[str, str | float | None]]:
    """A row for each log, change and place: cases, found, median delay, share of right names, and of right kinds."""
    cells: dict[tuple[str, str, str], list[CaseResult]] = {}
    for verdict in verdicts:
        cells.setdefault((verdict.case.log, verdict.case.kind, verdict.case.place), []).append(verdict)
    rows: list[dict[str, str | float | None]] = []
    for (log, change, place), cell in cells.items():
        found = [v for v in cell if v.delay is not None]
        rows.append(
            {
                "log": log, "change": change, "place": place, "cases": len(cell), "found": len(found),
                "delay_windows": float(np.median([v.delay for v in found if v.delay is not None])) if found else None,
                "named": float(np.mean([v.named for v in found])) if found else None,
                "right_kind": sum(v.kind == KINDS[change] for v in found) / len(found) if found else None,
            }
        )  # fmt: skip
    return rows


def _cases(name: str, stream: StreamLines) -> Iterator[DriftCase]:
    """Every change at every place where the log has a template for it."""
    rhythm = int(np.searchsorted(stream.time_ns, stream.time_ns[0] + _RHYTHM_DAYS * _DAY_NS)) // STRIDE
    places = (
        [(rhythm, None), (rhythm, rhythm - SWAP // 4)]
        if name == "rhythm"
        else [(SOON, None), (LATE, None), (LATE, SWAP)]
    )
    for kind, make in CHANGES.items():
        for at, swap in places:
            try:
                change = make(stream, at * STRIDE)
            except NoTemplateError:
                continue
            yield DriftCase(name, kind, change, at, swap)


def _scorer(stream: StreamLines) -> WindowScorer:
    windows, _ = stream.windows()
    settings = TrainSettings(detector="event_counts")
    trained = train(windows.take(np.arange(LEARNT_WINDOWS)), None, dict(stream.texts), settings)
    return WindowScorer(trained.detector, 1, trained.threshold)


def _watch(
    stream: StreamLines, scorer: WindowScorer, swap: int | None, stop: int | None = None
) -> tuple[list[DriftEvent], int]:
    """Events of drift that begins, and the windows before the first verdict."""
    windows, time_ns = stream.windows()
    monitor = DriftMonitor(DriftSettings(), stream.texts)
    events: list[DriftEvent] = []
    ready = len(windows)
    cuts = sorted({*range(0, len(windows), BATCH), *range(0, 5_000, 100), swap or 0, len(windows)})
    for start, end in itertools.pairwise(cuts):
        if stop is not None and start >= stop:
            break
        index: NDArray[np.int64] = np.arange(start, end)
        part = windows.take(index)
        version = 1 if swap is None or start < swap else 2
        events += monitor.observe(
            part, scorer.score(part), time_ns[index], model="event_counts", version=version, threshold=scorer.threshold
        )
        ready = min(ready, end) if monitor.ready else ready
    return [event for event in events if not event.over], ready


def _judged(case: DriftCase, scorer: WindowScorer) -> CaseResult:
    """Whether an event after the change names a template that carries it."""
    events, _ = _watch(case.change.lines, scorer, case.swap, case.at + HORIZON)
    _, time_ns = case.change.lines.windows()
    for event in events:
        delay = int(np.searchsorted(time_ns, event.time_ns)) - case.at
        right = [template.id in case.change.carriers for template in event.templates]
        if 0 <= delay < HORIZON and any(right):
            return CaseResult(case, delay, sum(right) / len(right), event.kind or "")
    return CaseResult(case, None, 0.0)


def _figures(verdicts: list[CaseResult]) -> dict[str, Number]:
    swapped = [v for v in verdicts if v.case.swap is not None]
    found = [v for v in verdicts if v.delay is not None]
    early = [v for v in verdicts if v.case.at == SOON]
    return {
        "found": _share(verdicts),
        "found_after_swap": _share(swapped),
        "found_early": _share(early),
        **{
            f"{log}.found": _share([v for v in verdicts if v.case.log == log])
            for log in {v.case.log: 0 for v in verdicts}
        },
        "median_delay_windows": float(np.median([v.delay for v in found if v.delay is not None])) if found else HORIZON,
        "named_share": float(np.mean([v.named for v in found])) if found else 0.0,
        "cases": len(verdicts),
    }


def _share(verdicts: list[CaseResult]) -> float:
    return sum(v.delay is not None for v in verdicts) / max(1, len(verdicts))


DRIFT_EVERYDAY = Scenario(
    "drift-everyday",
    "Drift monitor at default settings: changes in real, bursty logs, early, late and after a swap; a daily rhythm",
    drift_everyday,
    {
        "found": Target(goal=0.9, tolerance=0.05),
        "found_after_swap": Target(goal=0.9, tolerance=0.05),
        "false_per_100k_lines": Target(better="lower", goal=0.1, floor=1.0, tolerance=0.5),
        "median_delay_windows": Target(better="lower", goal=1_000, floor=2_000, tolerance=0.2),
        "named_share": Target(goal=0.9, tolerance=0.05),
        "ready_windows": Target(better="lower", goal=1_000, tolerance=0.0),
    },
    detectors=("event_counts",),
)
