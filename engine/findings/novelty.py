"""`novelty`: templates that were never seen before, judged by how often this source shows new ones and how they look.

New templates are modelled as a marked Poisson process. Its rate is their number in the later half of the lines so far;
the first lines of a source are not representative. The mark of a template combines its severity, how little it
resembles older ones and how often it occurs at once. The chance of a mark as high is the share of earlier new
templates with such a mark, together with a few made-up ones that thin out exponentially, as in a Good-Turing estimate
with a prior. So a source that shows harmless new templates all day does not flood, and a first error there still
counts.
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from engine.findings.base import Block, Signal, State, TemplateLookup

_KEPT = 1000
"""New templates that are remembered."""
_PRIOR_MARKS = 5.0
_PRIOR_SCALE = 1.1
"""The made-up marks: their number, and the scale over which they thin out by e. A mark of 4 is an unknown error."""


class NewTemplates:
    """See the module."""

    name: ClassVar[str] = "novelty"
    calibrated: ClassVar[bool] = True

    def __init__(self, state: State | None = None) -> None:
        saved = state or {}
        self._seen: NDArray[np.bool_] = saved.get("seen", np.zeros(0, np.bool_)).copy()
        self._lines: int = saved.get("lines", 0)
        # Of each birth the row, and the template's mark without and with its count.
        self._births: list[tuple[int, float, float]] = [tuple(birth) for birth in saved.get("births", ())]

    def observe(self, block: Block, templates: TemplateLookup) -> Sequence[Signal]:
        """See `engine.findings.base.StreamDetector`."""
        more = len(templates) - len(self._seen)
        self._seen = np.append(self._seen, np.zeros(max(0, more), np.bool_))
        new = np.flatnonzero(~self._seen[block.keys]).tolist()
        self._seen[block.keys] = True
        born: list[tuple[int, float, float]] = []
        found: list[Signal] = []
        for i in new:
            key, count = int(block.keys[i]), int(block.counts[i])
            plain = templates.severity(key) + templates.strangeness(key)
            mark = plain + 0.5 * math.log2(count)
            mine = block.order[block.starts[i] : block.starts[i + 1]]
            rows, times = block.lines.row[mine], block.lines.time_ns[mine]
            surprise = self._surprise(plain, mark, len(block))
            found.append(
                Signal(self.name, "new", key, surprise, count, 0.0, count, int(rows[0]), int(rows[-1]), int(times[0]),
                       max(int(times[0]), int(times[-1])), note={"mark": mark})
            )  # fmt: skip
            born.append((int(rows[0]), plain, mark))
        self._births = (self._births + born)[-_KEPT:]
        self._lines += len(block)
        return found

    def _surprise(self, plain: float, mark: float, lines: int) -> float:
        """-ln of the chance of the less likely of the two marks in this number of lines."""
        half = self._lines // 2
        recent = sum(row >= half for row, *_ in self._births)
        rate = (recent + 1.0) / max(1, self._lines - half)
        marks = np.array([marks for row, *marks in self._births if row >= self._lines // 10]).reshape(-1, 2)
        as_high = (marks >= (plain, mark)).sum(axis=0) + _PRIOR_MARKS * np.exp(-np.array((plain, mark)) / _PRIOR_SCALE)
        expected = rate * lines * float(as_high.min()) / (len(marks) + _PRIOR_MARKS)
        return -math.log(-math.expm1(-expected))

    def coarsen(self) -> None:
        """See `engine.findings.base.StreamDetector`; nothing here counts in blocks."""

    def snapshot(self) -> State:
        """See `engine.findings.base.StreamDetector`."""
        return {"seen": self._seen.copy(), "lines": self._lines, "births": list(self._births)}
