"""Decides which alerts of a run are on the incident, and sums up what a detector did.

An alert is *on the incident* if

1. at least one of its rows is a row of the incident: an inserted or an edited line, or, where a line
   stopped, any row from the first missing one until the line is back and one more period has passed;
2. it does not point everywhere: of more than `WIDE_ROWS` rows, at least `WIDE_SHARE` lie between the
   first and the last row of the incident;
3. where a line stopped, so that there is no row to point to: the same detector raises no alert on the
   same rows in the run without the incident.

Every other alert is one of the *others*. An incident is found if any alert is on it. Its rank is the
position of the first such alert, the strongest first and of equals the earliest.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.incidents.base import Alert, Case
from bench.incidents.kinds import NONE

WIDE_ROWS, WIDE_SHARE = 200, 0.1
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Verdict:
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
        by_chance: Whether the alerts that it raises without the incident would have been on it.
    """

    case: Case
    alerts: int
    others: int
    rank: int | None
    delay_lines: int | None
    delay_s: float | None
    watch_s: float
    by_chance: bool

    @property
    def found(self) -> bool:
        """Whether any alert is on the incident."""
        return self.rank is not None


def judge(case: Case, alerts: Sequence[Alert], free: Sequence[Alert], watch_s: float = 0.0) -> Verdict:
    """The verdict on one run.

    Args:
        case: The log that the detector read.
        alerts: What it raised, in any order.
        free: What it raised on the same background without an incident.
        watch_s: CPU seconds that it took.
    """
    ranked = sorted(alerts, key=lambda alert: (-alert.strength, alert.raised))
    usual = {row for alert in free for row in alert.rows} if _is_silence(case) else set()
    on = [on_incident(case, alert) and not _is_usual(case, alert, usual) for alert in ranked]
    rank = on.index(True) + 1 if True in on else None
    raised = [alert.raised for alert, hit in zip(ranked, on, strict=True) if hit]
    delay_lines = delay_s = None
    if raised:
        first = int(np.argmax(case.incident))
        row = min(max(min(raised), first), len(case.now) - 1)
        delay_lines, delay_s = row - first, float(case.times[row] - case.times[first])
    # A silence is not found by alerts that are always there, so chance has no part in it.
    chance = not _is_silence(case) and any(on_incident(case, moved) for moved in _moved(case, free))
    return Verdict(case, len(alerts), len(alerts) - sum(on), rank, delay_lines, delay_s, watch_s, chance)


def on_incident(case: Case, alert: Alert) -> bool:
    """Whether the alert's rows fulfil the first two conditions."""
    rows = np.asarray(alert.rows)
    if not case.incident[rows].any():
        return False
    if len(rows) <= WIDE_ROWS:
        return True
    first, last = np.flatnonzero(case.incident)[[0, -1]]
    return float(np.mean((rows >= first) & (rows <= last))) >= WIDE_SHARE


def _is_silence(case: Case) -> bool:
    """Whether lines were taken away and none put in."""
    return case.kind != NONE and len(case.now) < len(case.background.lines) - case.background.cut


def _moved(case: Case, free: Iterable[Alert]) -> Iterator[Alert]:
    """The alerts of the run without the incident, on the same lines of the case; gaps in a range are filled."""
    row_of = {source: row for row, source in enumerate(case.source.tolist()) if source >= 0}
    for alert in free:
        rows: Sequence[int] = sorted(row_of[row] for row in alert.rows if row in row_of)
        if rows and isinstance(alert.rows, range):
            rows = range(rows[0], rows[-1] + 1)
        if rows:
            yield Alert(rows, rows[-1], alert.strength, alert.reason)


def _is_usual(case: Case, alert: Alert, usual: set[int]) -> bool:
    """Whether half of the alert's rows or more are pointed to without the incident as well."""
    rows = case.source[np.asarray(alert.rows)].tolist()
    return sum(row in usual for row in rows) * 2 >= len(rows) > 0


@dataclass(frozen=True, slots=True)
class Figures:
    """What a detector did over many runs; every value is None where no run can tell it.

    Attributes:
        found, rank1: Shares of the runs with an incident.
        others_per_10k: Other alerts per 10,000 lines of `now`, over all runs.
        others_per_day: The same per day of the log's own time.
        delay_lines, delay_minutes: Medians over the incidents found.
        by_chance: Share of the incidents that the alerts of the run without them would have found.
        cost_s_per_10k: CPU seconds for 10,000 lines of `now`, in the runs without an incident, which come first.
    """

    found: float | None
    rank1: float | None
    others_per_10k: float
    others_per_day: float
    delay_lines: float | None
    delay_minutes: float | None
    by_chance: float | None
    cost_s_per_10k: float | None


def summarise(verdicts: Sequence[Verdict]) -> Figures:
    """The figures of these runs, of which there must be at least one."""
    real = [verdict for verdict in verdicts if verdict.case.kind != NONE]
    lines = sum(len(verdict.case.now) for verdict in verdicts)
    days = sum(float(verdict.case.times[-1] - verdict.case.times[0]) for verdict in verdicts) / DAY_S
    others = sum(verdict.others for verdict in verdicts)
    delays = [verdict.delay_lines for verdict in real if verdict.delay_lines is not None]
    seconds = [verdict.delay_s for verdict in real if verdict.delay_s is not None]
    return Figures(
        found=float(np.mean([v.found for v in real])) if real else None,
        rank1=float(np.mean([v.rank == 1 for v in real])) if real else None,
        others_per_10k=others / lines * 1e4,
        others_per_day=others / days if days else 0.0,
        delay_lines=float(np.median(delays)) if delays else None,
        delay_minutes=float(np.median(seconds)) / 60 if seconds else None,
        by_chance=float(np.mean([v.by_chance for v in real])) if real else None,
        cost_s_per_10k=_cost([verdict for verdict in verdicts if verdict.case.kind == NONE]),
    )


def _cost(free: Sequence[Verdict]) -> float | None:
    lines = sum(len(verdict.case.now) for verdict in free)
    return sum(verdict.watch_s for verdict in free) / lines * 1e4 if lines else None
