"""The gap of session windows, derived from the pauses of a log's sessions.

After Halfaker et al., "User Session Identification Based on Strong Regularities in Inter-activity Time", WWW 2015,
https://arxiv.org/abs/1411.2878: pauses inside a session and pauses between two sessions of a key are two populations on
a logarithmic scale, and the gap belongs where they cross. There the populations are fitted; here the line behind
a pause distinguishes them. If its template is one with which keys begin, a session begins; if not, one continues.

Many keys never begin again: each names one unit, such as a block or a request. Their sessions end with the unit, so the
gap is longer than the pauses of almost all of them.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from connectors.files import place_of
from engine.offline.inputs import LogSpec, log_files
from engine.offline.log_reading import file_batches
from engine.parsing.parse_settings import ParseSettings
from engine.records import NO_SESSION, ParsedLines
from engine.steps.parse import Parser

MIN_GAP_S = 10.0
"""Shorter pauses may be delays in writing."""
MIN_PAUSES = 20
"""Minimum number of pauses and of sessions for a gap."""
BEGINNING_SHARE = 0.9
"""The templates with which this share of the keys begin, the most frequent ones, count as beginnings."""
COVERED = 0.99
"""Share of the units whose pauses are shorter than the gap."""
STEPS_PER_DECADE = 4


@dataclass(frozen=True, slots=True)
class SessionPauses:
    """Pauses between two lines of one session key.

    Attributes:
        pauses_s: float64 (p,): length of each pause.
        begins: bool (p,): the line behind it has a template with which keys begin.
        longest_s: float64 (keys,): longest pause of each key with two lines or more.
    """

    pauses_s: NDArray[np.float64]
    begins: NDArray[np.bool_]
    longest_s: NDArray[np.float64]

    @staticmethod
    def of(session: NDArray[np.int64], time_ns: NDArray[np.int64], template: NDArray[np.int64]) -> "SessionPauses":
        """From the lines of one stream in its order; lines without a session key are ignored."""
        keyed = np.flatnonzero(session != NO_SESSION)
        order = keyed[np.argsort(session[keyed], kind="stable")]
        session, time_ns, template = session[order], time_ns[order], template[order]
        same = session[1:] == session[:-1]
        first = np.append(True, ~same) if len(session) else np.zeros(0, bool)
        # Lines of a stream may be slightly out of order.
        pauses = np.maximum(np.diff(time_ns)[same], 0) / 1e9
        _, key = np.unique(session[1:][same], return_inverse=True)
        longest = np.zeros(int(key.max()) + 1 if len(key) else 0)
        np.maximum.at(longest, key, pauses)
        return SessionPauses(pauses, np.isin(template[1:][same], _beginnings(template[first])), longest)

    def gap_s(self) -> float | None:
        """The gap in seconds, two significant digits; None if there are fewer than `MIN_PAUSES` of either."""
        if min(len(self.pauses_s), len(self.longest_s)) < MIN_PAUSES:
            return None
        crossing = self._crossing()
        chosen = float(np.quantile(self.longest_s, COVERED)) if crossing is None else crossing
        return _rounded_up(max(MIN_GAP_S, chosen))

    def _crossing(self) -> float | None:
        """The shortest pause from which on most lines behind pauses are beginnings; None if absent."""
        longest = float(self.pauses_s.max())
        steps = math.ceil(max(math.log10(max(longest, 1e-9) / MIN_GAP_S), 0) * STEPS_PER_DECADE)
        found = None
        for step in range(steps, -1, -1):
            limit = MIN_GAP_S * 10 ** (step / STEPS_PER_DECADE)
            longer = self.begins[self.pauses_s > limit]
            if len(longer) < MIN_PAUSES:
                continue
            if longer.mean() < 0.5:
                break
            found = limit
        return found

    def report(self) -> str:
        """The distribution in one sentence."""
        half, most, longest = np.quantile(self.pauses_s, [0.5, 0.99, 1]) if len(self.pauses_s) else (0.0,) * 3
        return (
            f"{len(self.pauses_s):,} pauses in {len(self.longest_s):,} sessions: half up to {half:.3g} s, 99 % up to "
            f"{most:.3g} s, the longest {longest:.3g} s"
        )


def session_pauses(spec: LogSpec, settings: ParseSettings) -> SessionPauses:
    """Read the pauses of a log.

    Raises:
        DatasetError: a file is missing or damaged.
    """
    pauses = []
    for file in log_files(spec.names):
        parser, parts = Parser(settings, place_of), list[ParsedLines]()
        for batch in file_batches(file):
            parts.append(parser.parse(batch).good)
        if (rest := parser.finish()) is not None:
            parts.append(rest.good)
        if parts:
            session, time_ns, template = (
                np.concatenate([getattr(part, name) for part in parts]) for name in ("session", "time_ns", "template")
            )
            pauses.append(SessionPauses.of(session, time_ns, template))
    none = np.zeros(0)
    return SessionPauses(
        np.concatenate([none, *(p.pauses_s for p in pauses)]),
        np.concatenate([none.astype(bool), *(p.begins for p in pauses)]),
        np.concatenate([none, *(p.longest_s for p in pauses)]),
    )


def _beginnings(templates: NDArray[np.int64]) -> NDArray[np.int64]:
    """The most frequent templates among first lines that together make up `BEGINNING_SHARE` of them."""
    names, counts = np.unique(templates, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    return names[order[before < BEGINNING_SHARE * len(templates)]]


def _rounded_up(value: float) -> float:
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(round(math.ceil(round(value / unit, 6)) * unit, 6))
