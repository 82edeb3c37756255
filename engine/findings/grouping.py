"""Signals → findings: one incident is one finding that lists its templates.

A signal joins an open finding that shows its template already, or that had its last new template at the same
time. It opens a finding of its own if it is strong enough. This also holds for a template that was shown before, if
it is clearly stronger now, so an old finding never hides a new one.

Strength counts in powers of ten. It is the number of stretches of 150 blocks in which something as unusual is
expected once by chance, plus one for each grade of severity that the text suggests. A model that is wrong once in ten
thousand times cannot be surer than that, so the part that comes from chances grows slowly above three.

The strength of a finding combines the strongest signal of each detector by the weighted Cauchy combination (Liu and
Xie, 2020, https://doi.org/10.1080/01621459.2018.1554485). It needs no independence: detectors see the same lines. For
small chances p_i it is 1 / sum(w_i / p_i); the weight w_i of a signal is what its severity adds. In powers of ten, the
strength is therefore log10(sum(10 ** s_i)), which is above each s_i and at most log10 of the number of detectors
above the highest.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from engine.findings.base import ABSENT, ALL_LINES, NO_NODE, Signal, State, TemplateLookup
from engine.findings.prior import status_severity

_HORIZON = 150
"""Number of blocks over which the chance of a signal is counted."""
OPENS = 0.8
"""Strength from which a signal opens a finding."""
_JOINS = 0.0
_CLEARLY = 2.5
"""Increase in strength after which a template that was shown is shown again."""
_LOWER = 0.5
"""Numbers that fall, and those whose name suggests no measurement, are seldom an incident of their own."""
_NEARLY = 3.0
_DROP, _DEEPER, _SURGE = 0.8, 0.45, 0.3
"""Severity of a source whose lines become fewer, how much more it is at a tenth of them, and that of more lines."""
_CALM = {"silent": 0.8, "fewer": 0.3, "order": 1.0, "surge": _SURGE}
_NEUTRAL = 1.0
"""Severity that neither adds to nor takes from a strength."""
_MEASURE, _WORSE = 1.0, 0.75
"""Severity of a measurement that rises, and how much more it is when it has risen fourfold."""
_OF_LEVEL = (0.0, 0.0, 0.0, 0.0, 1.0, 1.75, 2.25)
"""Severity of more lines of a level, by its index."""
_ONE_REQUEST = 0.6
"""The same of a single request with a status that other requests had before: every endpoint has its first failure."""
_OF_STATUS = 0.7
"""The same of a status, as a share of the severity of one line with it."""
_MAX_SHOWN = 40
_KEPT = 300
"""Findings that are remembered; a signal on a template of an older one opens a new one."""


@dataclass(slots=True)
class Finding:
    """What happened, as far as it is known.

    Attributes:
        number: In order of detection, from 1.
        signals: The strongest signal of every (kind, template, host), strongest first.
        strength: See the module; of the strongest signals of all detectors together.
        first, last: Numbers of the first and last line that show it.
        first_ns, last_ns: Their times.
        detected: Number of the line at which it was first clear.
        onset: Number of the line at which the newest of its templates began.
        onset_ns: Time at which the first of its signals began when it opened; it never changes.
        times: Blocks in which it showed.
        updated: Number of the last line of the block in which it last showed.
        raised: How often it had something new to show.
    """

    number: int
    signals: dict[tuple[str, int, int], tuple[float, Signal]]
    strength: float
    severity: float
    first: int
    last: int
    first_ns: int
    last_ns: int
    detected: int
    onset: int
    onset_ns: int = 0
    times: int = 1
    updated: int = 0
    raised: int = 0

    @property
    def by_strength(self) -> list[tuple[float, Signal]]:
        """Strength and signal, strongest first."""
        return sorted(self.signals.values(), key=lambda pair: (-pair[0], pair[1].first))


def chance_part(surprise: float) -> float:
    """Powers of ten between a surprise and the one expected by chance in `_HORIZON` blocks; slower above 3."""
    x = (surprise - math.log(_HORIZON)) / math.log(10)
    return x if x <= 3 else 3 + math.log2(1 + (x - 3) / 3)


def combined(signals: Iterable[tuple[float, Signal]]) -> float:
    """The strength of signals (at least one) together; only the strongest of each detector counts."""
    best: dict[str, float] = {}
    for strength, signal in signals:
        best[signal.detector] = max(strength, best.get(signal.detector, -math.inf))
    highest = max(best.values())
    return highest + math.log10(sum(10 ** (strength - highest) for strength in best.values()))


def severity_of(signal: Signal, templates: TemplateLookup) -> float:
    """How bad the thing sounds that a signal is about."""
    if signal.kind == "level":
        status = signal.note["status"]
        return _OF_STATUS * status_severity(f"<{status}>") if status else _OF_LEVEL[signal.level]
    if signal.kind == "value":
        if not signal.note["higher"] or not signal.note.get("measure"):
            return 0.0
        # A latency that has doubled is worse than one that is a little higher, but never as bad as an error.
        ratio = math.log2((signal.observed + 1e-9) / max(signal.usual, 1e-9))
        return _MEASURE + min(_WORSE, max(0.0, _WORSE / 2 * ratio))
    if signal.kind == "drop":
        # A pause is longer than usual, and a rate is lower.
        return _DROP + _DEEPER * min(1.0, abs(math.log10((signal.usual + 0.1) / (signal.observed + 0.1))))
    severity = templates.severity(signal.key)
    match signal.kind:
        case "new":
            # A request that fails in a way others failed before, or one word that is new, is weaker evidence.
            severity *= min(1.0, 0.25 + templates.strangeness(signal.key))
            single = signal.count == 1 and _fails_elsewhere(signal.key, templates)
            return severity * (_ONE_REQUEST if single else 1.0)
        case "more" | "node":
            # Errors that are a little more frequent are still errors that operators tolerate.
            ratio = math.log10((signal.observed + 1.0) / (signal.usual + 1.0))
            return severity * min(1.0, max(0.3, ratio))
        case _:
            return _CALM[signal.kind]


def _fails_elsewhere(key: int, templates: TemplateLookup) -> bool:
    status = templates.status(np.arange(len(templates)))
    return bool(status[key]) and int((status == status[key]).sum()) > 1


class Grouping:
    """Keeps the findings of one source."""

    def __init__(self, state: State | None = None) -> None:
        saved = state or {}
        self.findings: list[Finding] = [replace(f, signals=dict(f.signals)) for f in saved.get("findings", ())]
        self._number: int = saved.get("number", 0)

    def add(self, signals: Sequence[Signal], templates: TemplateLookup, *, block_lines: int, row: int) -> list[Finding]:
        """Add the signals of a block.

        Args:
            signals: With calibrated surprise.
            templates: What is known of their templates.
            block_lines: Lines of a block.
            row: Number of the block's last line.

        Returns:
            Findings that are new, or that show a new template that is strong enough alone.
        """
        rated = []
        for signal in signals:
            severity = severity_of(signal, templates)
            strength = chance_part(signal.surprise) + severity - _NEUTRAL
            if signal.kind == "value" and not severity:
                strength = min(strength, _LOWER)
            if strength >= _JOINS:
                rated.append((strength, severity, signal))
        rated.sort(key=lambda r: (-r[0], r[2].first))
        fresh: list[Finding] = []
        for strength, severity, signal in rated:
            finding = self._home(signal, strength, 2 * block_lines)
            if finding is not None:
                if self._join(finding, strength, severity, signal, row) and strength >= OPENS:
                    fresh.append(finding)
            elif _together(signal, rated, 2 * block_lines) >= OPENS:
                self._number += 1
                finding = Finding(
                    self._number, {}, strength, severity, signal.first, signal.last, signal.first_ns,
                    signal.last_ns, row, signal.first, signal.first_ns, updated=row,
                )  # fmt: skip
                self._join(finding, strength, severity, signal, row)
                self.findings = [*self.findings[-_KEPT + 1 :], finding]
                fresh.append(finding)
        fresh = list({finding.number: finding for finding in fresh}.values())
        for finding in fresh:
            finding.raised += 1
        return fresh

    def _home(self, signal: Signal, strength: float, margin: int) -> Finding | None:
        for finding in reversed(self.findings):
            near = finding.onset - margin <= signal.first <= finding.onset + margin
            during = finding.first - margin <= signal.first <= finding.last + margin
            if near or (during and _shows(finding, signal)):
                return finding
            # While all lines are fewer, so are those of every template.
            if during and signal.kind in ABSENT and any(shown.kind == "drop" for _, shown in finding.signals.values()):
                return finding
            # The lines of a level are those of templates, so more of them belong to what these templates show.
            if (
                signal.kind == "level"
                and signal.first <= finding.last + margin
                and signal.last >= finding.first - margin
            ):
                return finding
            levels = (shown for _, shown in finding.signals.values() if shown.kind == "level")
            if any(shown.first - margin <= signal.first <= shown.last + margin for shown in levels):
                return finding
        for finding in reversed(self.findings):
            if _shows(finding, signal) and strength < finding.strength + _CLEARLY:
                return finding
        return None

    def _join(self, finding: Finding, strength: float, severity: float, signal: Signal, row: int) -> bool:
        """Adds a signal; returns whether its template is new to the finding."""
        known = _shows(finding, signal)
        strength, signal = _since_birth(finding, strength, signal)
        mark = (signal.kind, signal.key, signal.node)
        old = finding.signals.get(mark)
        if old is None or strength > old[0]:
            finding.signals[mark] = (strength, signal)
            if len(finding.signals) > _MAX_SHOWN:
                weakest = min(finding.signals, key=lambda m: finding.signals[m][0])
                del finding.signals[weakest]
        finding.strength = max(finding.strength, combined(finding.signals.values()))
        finding.severity = max(finding.severity, severity)
        if not known:
            finding.onset = max(finding.onset, signal.first)
        finding.times += finding.updated != row
        finding.updated = row
        _span(finding)
        return not known

    def snapshot(self) -> State:
        """The state."""
        return {"findings": [replace(f, signals=dict(f.signals)) for f in self.findings], "number": self._number}


def _since_birth(finding: Finding, strength: float, signal: Signal) -> tuple[float, Signal]:
    """A template that is new in a finding and comes again is still new; how often it came says more than its rate."""
    born = finding.signals.get(("new", signal.key, NO_NODE))
    if born is None or signal.kind != "more":
        return strength, signal
    count = max(born[1].count, signal.count)
    since = replace(born[1], count=count, observed=float(count), last=signal.last, last_ns=signal.last_ns)
    del finding.signals["new", signal.key, NO_NODE]
    return max(strength, born[0]), since


def _together(signal: Signal, rated: Sequence[tuple[float, float, Signal]], margin: int) -> float:
    """The strength of a signal with those of the other detectors that began at the same time."""
    others = [(s, o) for s, _, o in rated if o.detector != signal.detector and abs(o.first - signal.first) <= margin]
    return combined([*others, *((s, o) for s, _, o in rated if o is signal)])


def _span(finding: Finding) -> None:
    """Sets from where to where the finding lasts, by the signals that are nearly as strong as the strongest."""
    strong = [signal for strength, signal in finding.signals.values() if strength >= finding.strength - _NEARLY]
    first, last = min(strong, key=lambda s: s.first), max(strong, key=lambda s: s.last)
    finding.first, finding.first_ns = first.first, first.first_ns
    finding.last, finding.last_ns = last.last, last.last_ns


def _shows(finding: Finding, signal: Signal) -> bool:
    shown = (key for kind, key, _ in finding.signals if key >= 0 or (key == ALL_LINES and kind == signal.kind))
    return signal.key in shown


def rank(findings: Sequence[Finding]) -> list[Finding]:
    """The findings, the most important one first."""
    return sorted(findings, key=lambda f: (-f.strength, f.first))


__all__ = ["OPENS", "Finding", "Grouping", "State", "rank"]
