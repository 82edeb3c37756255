"""`order`: within a session, a line that never followed the line before it.

Every session is a path through the templates. What is counted are its steps, from one template to the next (a Markov
chain of order 1). A step that never occurred is surprising if its first template was followed often and by few
different ones: by Good and Turing (Good, 1953, https://doi.org/10.1093/biomet/40.3-4.237), the chance of a new step is
the share of the steps that occurred once. Steps to a template that is new itself are left to `novelty`.
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from engine.findings.base import Block, Signal, State, TemplateLookup
from engine.findings.codes import Codes
from engine.records import NO_SESSION

MAX_STEPS = 20_000
MAX_SESSIONS = 50_000
"""Sessions whose last template is remembered, at least; those that pause longest are forgotten."""
FINE_LINES = 800
"""Lines of a block up to which all sessions are followed. Beyond, a fixed part of them is, so that the work for each
block stays the same."""
_FIRST_LINES = 25
_KEY_BITS = 32
_MIN_STEPS = 20
"""Steps from a template before a new one means anything."""

Ints = NDArray[np.int64]


class SessionOrder:
    """See the module."""

    name: ClassVar[str] = "order"
    calibrated: ClassVar[bool] = False

    def __init__(self, state: State | None = None) -> None:
        saved = state or {}
        self._steps = Codes(MAX_STEPS, known=saved.get("steps"))
        self._count: Ints = saved["count"].copy() if "count" in saved else np.zeros(1, np.int64)
        # Two generations: when the young one is full it becomes the old one, and the old one is forgotten.
        self._young: dict[int, int] = dict(saved.get("young", {}))
        self._old: dict[int, int] = dict(saved.get("old", {}))
        self._lines: int = saved.get("lines", _FIRST_LINES)

    def observe(self, block: Block, templates: TemplateLookup) -> Sequence[Signal]:
        """See `engine.findings.base.StreamDetector`."""
        at, before = self._followed(block)
        if not len(at):
            return []
        steps = (before << _KEY_BITS) | block.lines.key[at]
        known = len(self._steps)
        number = self._steps.of(steps)
        found = self._signals(block, at, steps, number, known, len(templates))
        self._count = np.append(self._count, np.zeros(len(self._steps) + 1 - len(self._count), np.int64))
        self._count += np.bincount(number, minlength=len(self._count))
        return found

    def _followed(self, block: Block) -> tuple[Ints, Ints]:
        """Lines that follow one of their session, as indexes into the block, and the template of the line before."""
        session = block.lines.session
        part = max(1, self._lines // FINE_LINES)
        mine = np.flatnonzero((session != NO_SESSION) & (session & (part - 1) == 0))
        order = mine[np.argsort(session[mine], kind="stable")]
        sessions, keys = session[order], block.lines.key[order].astype(np.int64)
        first = np.append(True, sessions[1:] != sessions[:-1])[: len(order)]
        before = np.append(-1, keys[:-1])[: len(order)]
        starts, ends = np.flatnonzero(first), np.flatnonzero(np.append(first[1:], True)[: len(order)])
        young, old = self._young, self._old
        before[starts] = [young[one] if one in young else old.get(one, -1) for one in sessions[starts].tolist()]
        self._young.update(zip(sessions[ends].tolist(), keys[ends].tolist(), strict=True))
        if len(self._young) > MAX_SESSIONS:
            self._young, self._old = {}, self._young
        follows = np.flatnonzero(before >= 0)
        return order[follows], before[follows]

    def _signals(
        self, block: Block, at: Ints, steps: Ints, number: NDArray[np.int32], known: int, templates: int
    ) -> list[Signal]:
        """Steps that never occurred before this block, from a template that was followed often to one that is old."""
        new = np.unique(number[number > known])
        if not len(new):
            return []
        old = self._steps.known()[:known]
        count = self._count[1 : known + 1]
        followed = np.bincount(old >> _KEY_BITS, count, templates)
        once = np.bincount((old >> _KEY_BITS)[count == 1], minlength=templates)
        reached = np.bincount(old & ((1 << _KEY_BITS) - 1), minlength=templates)
        tested = int((followed >= _MIN_STEPS).sum())
        found = []
        for code in new.tolist():
            mine = np.sort(at[number == code])
            before, key = divmod(int(steps[int(np.argmax(number == code))]), 1 << _KEY_BITS)
            if followed[before] < _MIN_STEPS or not reached[key]:
                continue
            chance = (once[before] + 1) / (followed[before] + 2)
            surprise = float(-np.log(chance * tested))
            if surprise > 0:
                rows, times = block.lines.row[mine], block.lines.time_ns[mine]
                found.append(
                    Signal(self.name, "order", key, surprise, float(len(mine)), 0.0, len(mine), int(rows[0]),
                           int(rows[-1]), int(times.min()), int(times.max()),
                           note={"after": before, "followed": int(followed[before])})
                )  # fmt: skip
        return found

    def coarsen(self) -> None:
        """See `engine.findings.base.StreamDetector`."""
        self._lines *= 2

    def snapshot(self) -> State:
        """See `engine.findings.base.StreamDetector`."""
        return {
            "steps": self._steps.known(), "count": self._count.copy(), "young": dict(self._young),
            "old": dict(self._old), "lines": self._lines,
        }  # fmt: skip
