"""Decides which alerts of a run are on the incident, and sums up what a detector did.

An alert is *on the incident* if one of the things that it lists is, and that is so if

1. at least one of its rows is a row of the incident: an inserted or an edited line, or, where a line
   stopped, any row from the first missing one until the line is back and one more period has passed;
2. it does not point everywhere: of more than `WIDE_ROWS` rows, at least `WIDE_SHARE` lie between the
   first and the last row of the incident;
3. it is due to the incident: it was raised at the incident's first row or later, and without the
   incident the same detector raises no alert about the same thing on the same lines, that is on half
   of the alert's lines or more.

Every other alert is one of the *others*. An incident is found if any alert is on it. Its rank is the
position of the first such alert, the strongest first and of equals the earliest.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.incidents.base import DetectorAlert, IncidentCase
from bench.incidents.kinds import NONE

WIDE_ROWS, WIDE_SHARE = 200, 0.1
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class RunResult:
    """What one run of a detector came to.

    Attributes:
        case: What was judged.
        alerts: Number of alerts.
        others: How many of them are not on the incident.
        rank: Rank of the incident, from 1; None if it was not found.
        delay_lines: Rows from the incident's first row to the one at which its first alert was
            raised; None if it was not found.
        delay_s: The same in the log's own time.
        watch_s: CPU seconds that the detector took for the lines of `now`.
    """

    case: IncidentCase
    alerts: int
    others: int
    rank: int | None
    delay_lines: int | None
    delay_s: float | None
    watch_s: float

    @property
    def found(self) -> bool:
        """Whether any alert is on the incident."""
        return self.rank is not None


def judge(
    case: IncidentCase, alerts: Sequence[DetectorAlert], free: Sequence[DetectorAlert], watch_s: float = 0.0
) -> RunResult:
    """The verdict on one run.

    Args:
        case: The log that the detector read.
        alerts: What it raised, in any order.
        free: What it raised on the same background without an incident.
        watch_s: CPU seconds that it took.
    """
    ranked = sorted(alerts, key=lambda alert: (-alert.strength, alert.raised))
    usual = _Usual(case, free)
    hits = [
        [part.raised for part in alert.parts if on_incident(case, part) and not usual.has(part)] for alert in ranked
    ]
    rank = next((number for number, rows in enumerate(hits, start=1) if rows), None)
    raised = [row for rows in hits for row in rows]
    delay_lines = delay_s = None
    if raised:
        first = int(np.argmax(case.incident))
        delay_lines = min(raised) - first
        delay_s = float(case.times[min(raised)] - case.times[first])
    return RunResult(case, len(alerts), sum(not rows for rows in hits), rank, delay_lines, delay_s, watch_s)


def on_incident(case: IncidentCase, alert: DetectorAlert) -> bool:
    """Whether the alert fulfils the conditions that need no other run."""
    rows = np.asarray(alert.rows)
    if not case.incident[rows].any() or alert.raised < int(np.argmax(case.incident)):
        return False
    if len(rows) <= WIDE_ROWS:
        return True
    first, last = np.flatnonzero(case.incident)[[0, -1]]
    return float(np.mean((rows >= first) & (rows <= last))) >= WIDE_SHARE


class _Usual:
    """What a detector reports without the incident: rows of `now` without it, by what the alerts are about."""

    def __init__(self, case: IncidentCase, free: Sequence[DetectorAlert]) -> None:
        self._source = case.source
        self._rows: dict[str, set[int]] = {}
        for part in (part for alert in free for part in alert.parts):
            self._rows.setdefault(part.about, set()).update(part.rows)

    def has(self, alert: DetectorAlert) -> bool:
        """Whether half of the alert's lines that the log has anyway, or more, are reported for the same thing."""
        usual = self._rows.get(alert.about, set())
        lines = [row for row in self._source[np.asarray(alert.rows)].tolist() if row >= 0]
        return 2 * sum(row in usual for row in lines) >= len(lines) > 0


@dataclass(frozen=True, slots=True)
class DetectorSummary:
    """What a detector did over many runs; every value is None where no run can tell it.

    Attributes:
        found, rank1: Shares of the runs with an incident.
        others_per_10k: Other alerts per 10,000 lines of `now`, over all runs.
        others_per_day: The same per day of the log's own time.
        delay_lines, delay_minutes: Medians over the incidents found.
        cost_s_per_10k: CPU seconds for 10,000 lines of `now`, in the runs without an incident, which come first.
    """

    found: float | None
    rank1: float | None
    others_per_10k: float
    others_per_day: float
    delay_lines: float | None
    delay_minutes: float | None
    cost_s_per_10k: float | None


def summarise(verdicts: Sequence[RunResult]) -> DetectorSummary:
    """The figures of these runs, of which there must be at least one."""
    real = [verdict for verdict in verdicts if verdict.case.kind != NONE]
    lines = sum(len(verdict.case.now) for verdict in verdicts)
    days = sum(float(verdict.case.times[-1] - verdict.case.times[0]) for verdict in verdicts) / DAY_S
    others = sum(verdict.others for verdict in verdicts)
    delays = [verdict.delay_lines for verdict in real if verdict.delay_lines is not None]
    seconds = [verdict.delay_s for verdict in real if verdict.delay_s is not None]
    return DetectorSummary(
        found=float(np.mean([v.found for v in real])) if real else None,
        rank1=float(np.mean([v.rank == 1 for v in real])) if real else None,
        others_per_10k=others / lines * 1e4,
        others_per_day=others / days if days else 0.0,
        delay_lines=float(np.median(delays)) if delays else None,
        delay_minutes=float(np.median(seconds)) / 60 if seconds else None,
        cost_s_per_10k=_cost([verdict for verdict in verdicts if verdict.case.kind == NONE]),
    )


def _cost(free: Sequence[RunResult]) -> float | None:
    lines = sum(len(verdict.case.now) for verdict in free)
    return sum(verdict.watch_s for verdict in free) / lines * 1e4 if lines else None
