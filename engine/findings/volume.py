"""`volume`: all lines of a source together become far fewer, stop, or become far more.

The other detectors let the other lines explain a count, so they see nothing when all templates fall or rise together.
What is judged here is how long the source takes to write a number of lines, at several scales, and how long it pauses
between two lines. Each is compared with the longest times it ever took, and a rise with the shortest ones. Beyond the
longest a Pareto tail is assumed, with the exponent of Hill (1975, https://doi.org/10.1214/aos/1176343247), as in
`engine.findings.silence`. A source that writes in bursts has pauses of all lengths, so no pause surprises there. The
night of a source with a daily rhythm is among the longest times, so only less than the night is unusual.

Clocks of several writers differ, and single lines have wrong times. The end of a stretch is therefore the median time
of its last lines, and a pause is confirmed by the lines around it.
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from engine.findings.base import ALL_LINES, Block, Signal, State, TemplateLookup
from engine.findings.block_loops import longest_pause
from engine.findings.blocks import FIRST_SIZE
from engine.findings.counts import KEPT, RING, SCALES, TESTS

_LEAST_DROP_S, _LEAST_RISE_S = 60.0, 30.0
"""Shorter changes are left to chance: pauses of garbage collection, one job that starts."""
_FALLS, _RISES = 2.0, 3.0
"""How many times as long as ever before a stretch must take, and how many times as fast as ever it must be."""
_EXTREMES = 8
"""Longest and shortest times that are kept of each scale."""
_MIN_RECORDS = 12
"""Times of a scale before it is judged."""
_MAX_EXPONENT = 5.0
_PRIOR_SPREAD = 0.1
"""Added to the mean logarithm by which the longest times exceed the least of them: a few alike may be luck."""
_END_LINES = 9
_WITNESSES = 3
"""Lines before and after a pause that must agree on it."""
_RESOLUTION_S = 1.0
"""Many logs have times in seconds."""
_TESTS = 2 * TESTS + 1

Floats = NDArray[np.float64]


class Volume:
    """See the module.

    A stretch is as many lines as a block. A block that was ended early, on a quiet source, is a part of one.
    """

    name: ClassVar[str] = "volume"
    calibrated: ClassVar[bool] = False

    def __init__(self, state: State | None = None) -> None:
        saved = state or {}
        self._size: int = saved.get("size", FIRST_SIZE)
        self._n: int = saved.get("n", 0)
        self._tail: NDArray[np.int64] = saved.get("tail", np.zeros(0, np.int64)).copy()
        self._last: int = saved.get("last", 0)
        self._end_ns: int | None = saved.get("end_ns")
        # The open stretch: its lines, its first line and its longest pause.
        self._lines: int = saved.get("lines", 0)
        self._row: int = saved.get("row", 0)
        self._pause_s: float = saved.get("pause_s", 0.0)
        # Of the last stretches the seconds they took, the first line, and the time when they began.
        self._ring: Floats = saved.get("ring", np.zeros(RING)).copy()
        self._ring_row: NDArray[np.int64] = saved.get("ring_row", np.zeros(RING, np.int64)).copy()
        self._ring_ns: NDArray[np.int64] = saved.get("ring_ns", np.zeros(RING, np.int64)).copy()
        self._total_s: float = saved.get("total_s", 0.0)
        self._part: Floats = saved.get("part", np.zeros(KEPT)).copy()
        self._records: NDArray[np.int64] = saved.get("records", np.zeros(KEPT, np.int64)).copy()
        # Ascending; zeros and infinities are places that are still empty.
        self._longest: Floats = saved.get("longest", np.zeros((KEPT, _EXTREMES))).copy()
        self._shortest: Floats = saved.get("shortest", np.full((KEPT, _EXTREMES), np.inf)).copy()
        self._pauses: Floats = saved.get("pauses", np.zeros(_EXTREMES)).copy()

    def observe(self, block: Block, templates: TemplateLookup) -> Sequence[Signal]:
        """See `engine.findings.base.StreamDetector`."""
        times = block.lines.time_ns
        found = self._paused(block)
        if not self._lines:
            self._row = int(block.lines.row[0])
        self._lines, self._last = self._lines + len(block), int(block.lines.row[-1])
        end_ns = int(np.sort(times[-_END_LINES:])[len(times[-_END_LINES:]) // 2])
        began_ns = int(times[0]) if self._end_ns is None else self._end_ns
        took_s = (end_ns - began_ns) / 1e9
        if self._lines < self._size and took_s >= 0:
            return [*found, *self._slow(0, took_s, self._lines, self._row, began_ns, block)]
        # Where time ran backwards nothing is known of how long the stretch took.
        if took_s >= 0:
            self._add(took_s * self._size / self._lines, began_ns)
            found += self._judged(block)
            self._learn()
        self._end_ns, self._lines, self._pause_s = end_ns, 0, 0.0
        return found

    def _paused(self, block: Block) -> list[Signal]:
        """The longest pause before a line of the block."""
        times = np.append(self._tail, block.lines.time_ns)
        self._tail = times[-_WITNESSES:].copy()
        at = len(times) - len(block)
        if not at:
            return []
        i, pause_ns = longest_pause(times, at, _WITNESSES)
        pause_s = max(0.0, pause_ns / 1e9)
        self._pause_s = max(self._pause_s, pause_s)
        end_ns, row = int(block.lines.time_ns[i]), int(block.lines.row[i])
        return self._pause_signals(pause_s, row, end_ns - int(pause_s * 1e9))

    def stopped(self, pause_s: float) -> Sequence[Signal]:
        """What is unusual in a pause since the last line that has not ended yet.

        Args:
            pause_s: Its length so far.
        """
        return self._pause_signals(pause_s, self._last, int(self._tail[-1])) if len(self._tail) else []

    def _pause_signals(self, pause_s: float, row: int, began_ns: int) -> list[Signal]:
        known, now = self._pauses + _RESOLUTION_S, pause_s + _RESOLUTION_S
        if pause_s < _LEAST_DROP_S or now < _FALLS * known[-1] or self._n < _MIN_RECORDS:
            return []
        surprise = _beyond(known, now, self._n) - math.log(_TESTS)
        return [
            Signal(self.name, "drop", ALL_LINES, surprise, pause_s, float(self._pauses[-1]), 0, row, row, began_ns,
                   began_ns + int(pause_s * 1e9), unit="s")
        ] if surprise > 0 else []  # fmt: skip

    def _judged(self, block: Block) -> list[Signal]:
        """What is unusual in the windows that end with the last stretch."""
        found: list[Signal] = []
        for scale in range(SCALES):
            stretches = 1 << scale
            if self._n % max(1, stretches // 2) or self._n < stretches:
                continue
            ages = (self._n - 1 - np.arange(stretches)) % RING
            took_s = float(self._ring[ages].sum())
            at = self._onset(ages, took_s)
            since_s = float(self._ring[ages[: at + 1]].sum())
            lines, row, began_ns = (at + 1) * self._size, int(self._ring_row[ages[at]]), int(self._ring_ns[ages[at]])
            found += self._slow(scale, took_s, lines, row, began_ns, block, since_s)
            found += self._fast(scale, took_s, block, ages)
        return found

    def _onset(self, ages: NDArray[np.int64], took_s: float) -> int:
        """Index of the oldest of these stretches that took clearly longer than usual; of the last one if none did."""
        least = max(_FALLS * self._usual_s(), took_s / len(ages) / 2)
        slow = np.flatnonzero(self._ring[ages] > least)
        return int(slow[-1]) if len(slow) else len(ages) - 1

    def _usual_s(self) -> float:
        """Seconds that a stretch usually takes: the mean without the longest ones."""
        longest = self._longest[0] if self._n >= 2 * _EXTREMES else np.zeros(0)
        return max(0.0, self._total_s - float(longest.sum())) / max(1, self._n - len(longest))

    def _slow(
        self, scale: int, took_s: float, lines: int, row: int, began_ns: int, block: Block, since_s: float | None = None
    ) -> list[Signal]:  # fmt: skip
        """A drop, if a window took far longer than ever; `lines` came in the `since_s` from its onset `began_ns` on."""
        longest, records = self._longest[scale], int(self._records[scale])
        usual_s = self._usual_s()
        if records < _MIN_RECORDS or took_s < _FALLS * longest[-1] or took_s - usual_s < _LEAST_DROP_S:
            return []
        surprise = _beyond(longest, took_s, records) - math.log(_TESTS)
        return self._signals("drop", surprise, lines, since_s or took_s, row, began_ns, block)

    def _fast(self, scale: int, took_s: float, block: Block, ages: NDArray[np.int64]) -> list[Signal]:
        shortest, records = self._shortest[scale] + _RESOLUTION_S, int(self._records[scale])
        fast_s = took_s + _RESOLUTION_S
        if records < _MIN_RECORDS or took_s < _LEAST_RISE_S or fast_s * _RISES > shortest[0]:
            return []
        surprise = _beyond((1 / shortest)[::-1], 1 / fast_s, records) - math.log(_TESTS)
        first = ages[-1]
        return self._signals(
            "surge",
            surprise,
            len(ages) * self._size,
            took_s,
            int(self._ring_row[first]),
            int(self._ring_ns[first]),
            block,
        )

    def _signals(
        self, kind: str, surprise: float, lines: int, seconds: float, row: int, began_ns: int, block: Block
    ) -> list[Signal]:
        usual = 60 * self._size / max(self._usual_s(), _RESOLUTION_S)
        last, last_ns = int(block.lines.row[-1]), int(block.lines.time_ns[-1])
        return [
            Signal(self.name, kind, ALL_LINES, surprise, 60 * lines / seconds, usual, lines, row, max(row, last),
                   began_ns, max(began_ns, last_ns), unit="lines/min")
        ] if surprise > 0 else []  # fmt: skip

    def _add(self, took_s: float, began_ns: int) -> None:
        at = self._n % RING
        self._ring[at], self._ring_row[at], self._ring_ns[at] = took_s, self._row, began_ns
        self._n += 1
        self._total_s += took_s
        self._part += took_s

    def _learn(self) -> None:
        """Add the windows that end with the last stretch and do not overlap those before them."""
        self._pauses = _with_longer(self._pauses, self._pause_s)
        for scale in range(KEPT):
            if self._n % (1 << scale):
                break
            took_s = float(self._part[scale])
            self._longest[scale] = _with_longer(self._longest[scale], took_s)
            self._shortest[scale] = -_with_longer(-self._shortest[scale][::-1], -took_s)[::-1]
            self._records[scale] += 1
            self._part[scale] = 0.0

    def coarsen(self) -> None:
        """Stretches are twice as long from now on: every scale takes the place of the one below it."""
        self._size *= 2
        pairs = min(self._n, RING) // 2
        ages = np.arange(pairs)
        newer, older = (self._n - 1 - 2 * ages) % RING, (self._n - 2 - 2 * ages) % RING
        took, row, began = self._ring[newer] + self._ring[older], self._ring_row[older], self._ring_ns[older]
        self._n //= 2
        at = (self._n - 1 - ages) % RING
        self._ring[at], self._ring_row[at], self._ring_ns[at] = took, row, began
        for array, empty in ((self._part, 0.0), (self._longest, 0.0), (self._shortest, np.inf), (self._records, 0)):
            array[:-1] = array[1:].copy()
            array[-1] = empty

    def snapshot(self) -> State:
        """See `engine.findings.base.StreamDetector`."""
        arrays = ("tail", "ring", "ring_row", "ring_ns", "part", "records", "longest", "shortest", "pauses")
        plain = ("size", "n", "last", "end_ns", "lines", "row", "pause_s", "total_s")
        return {name: getattr(self, f"_{name}") for name in plain} | {
            name: getattr(self, f"_{name}").copy() for name in arrays
        }


def _with_longer(kept: Floats, value: float) -> Floats:
    """The greatest of ascending values and one more, ascending."""
    return np.sort(np.append(kept, value))[1:]


def _beyond(longest: Floats, value: float, records: int) -> float:
    """-ln of the chance of a value beyond the greatest of `longest` (ascending), out of this number of records."""
    kept = longest[-min(_EXTREMES, records // 3) :]
    kept = np.maximum(kept[np.isfinite(kept)], 1e-3)
    spread = float(np.log(kept / kept[0]).sum()) / max(1, len(kept) - 1) + _PRIOR_SPREAD
    return math.log(records + 1) + min(_MAX_EXPONENT, 1.0 / spread) * math.log(value / float(kept[-1]))
