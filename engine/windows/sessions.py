"""Session windows: lines of one session key, until it pauses or gets too long."""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from engine.clock import Clock
from engine.records import ParsedLines
from engine.windows.base_windower import ShardSettings, WindowShard, nanoseconds
from engine.windows.emission import Emission
from engine.windows.grouping import Ints, group
from engine.windows.segmenting import Cutting, Entries, absorb
from engine.windows.session_table import DEADLINE
from engine.windows.window_base import NO_TIME, LateLine


class GrowthSteps(BaseModel):
    """Growth steps at first, first·factor, first·factor² … lines, each rounded down."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first: Annotated[int, Field(ge=1)] = Field(default=32, description="Length of the first growth step, in lines.")
    factor: Annotated[float, Field(ge=1.1)] = Field(default=2.0, description="Ratio of each step to the one before.")


class SessionWindows(ShardSettings):
    """Lines of one session key in the order read, until it pauses for longer than the gap."""

    kind: Literal["session"] = "session"
    gap_s: Annotated[float, Field(gt=0, le=3.2e8)] = Field(
        default=600.0,
        description="A pause in a session's event time of more than this many seconds ends its window. If it is not "
        "set, the gap that the model was trained with applies.",
    )
    max_length: Annotated[int, Field(ge=1, le=65_536)] = Field(
        default=512, description="Maximum number of lines in a window; the session continues in a new one."
    )
    growth: tuple[Annotated[int, Field(ge=1)], ...] | GrowthSteps = Field(
        default=GrowthSteps(first=32, factor=2.0),
        description="Lengths in lines at which a session is scored while it is still open: a list, or "
        "{first, factor}. An empty list scores complete windows only.",
    )
    allowed_lateness_s: Annotated[float, Field(ge=0, le=3.2e8)] = Field(
        default=0.0,
        description="Delay of the watermark behind the latest event time, in seconds. Windows are closed that much "
        "later, and lines that much older (in addition to the gap) still join their window.",
    )

    @field_validator("growth")
    @classmethod
    def _ascending(cls, growth: tuple[int, ...] | GrowthSteps) -> tuple[int, ...] | GrowthSteps:
        if isinstance(growth, tuple) and list(growth) != sorted(set(growth)):
            raise ValueError(f"growth steps {list(growth)} must ascend, each once")
        return growth

    def steps(self) -> tuple[int, ...]:
        """The growth steps below `max_length`, ascending."""
        if isinstance(self.growth, tuple):
            return tuple(step for step in self.growth if step < self.max_length)
        steps: list[int] = []
        length = float(self.growth.first)
        while length < self.max_length:
            if not steps or int(length) > steps[-1]:
                steps.append(int(length))
            length *= self.growth.factor
        return tuple(steps)


class SessionWindower(WindowShard[Emission]):
    """Session windows by event time.

    - A line joins its session's open window, unless it is more than the gap later than the window's latest line, or
      the watermark already passed that latest line by more than the gap: then it begins the next window.
    - A window ends at the line that completes `max_length`; at the first line that moves the watermark more than the
      gap past its latest line; or at the next line of its session that begins a new one. Whichever is read first.
    - A line is late if the watermark is more than the gap ahead of it: a window started by it would have ended already.
    - Lines of one session keep the order in which they were read. Where they come from several partitions, a window's
      partition and positions are those of the partition it began in.
    - After a restart with another gap, an open window keeps its deadline until its next line.
    """

    kind = "session"
    follows = frozenset({"gap_s"})  # it comes from the model, and a later version may have another one

    def __init__(
        self, settings: SessionWindows, clock: Clock, state: bytes | None = None, folder: Path | None = None
    ) -> None:
        super().__init__(settings, clock, Emission, folder, settings.allowed_lateness_s)
        self._gap_ns = nanoseconds(settings.gap_s)
        self._cutting = Cutting(settings.max_length, self._gap_ns, np.array(settings.steps(), np.int64))
        if state is not None:
            self._restore(state)

    def _take(self, lines: ParsedLines, partition: int, emission: Emission) -> tuple[tuple[LateLine, ...], Ints]:
        times = self._timely(lines)
        before = self._watermark.value_ns
        times, watermark = self._watermark.advance(partition, times, timeless=lines.timeless)
        ids, unkeyed = self._ids(lines, partition)
        late = (times < watermark - self._gap_ns) | (times == NO_TIME)
        refuse = late
        if unkeyed is not None and self._settings.unkeyed == "skip":
            refuse = late | unkeyed
            self.counters.skipped += int(np.count_nonzero(unkeyed & ~late))
        entries = Entries(ids, np.arange(len(ids)), times, lines.template, lines.lines.positions[lines.rows])
        if refuse.any():
            entries = entries.take((~refuse).nonzero()[0])
        full = np.zeros(0, np.int64)
        if len(entries.id):
            groups = group(entries.id)
            entries = entries.take(groups.order)
            rows = entries.row[groups.starts]
            slots = self._slots(entries.id[groups.starts], lines.session[rows], rows, lines)
            full = absorb(self._table, entries, groups, slots, partition, watermark, before, self._cutting, emission)
        due = self._put_due(watermark, emission)
        return self._refuse(lines, late, watermark), np.concatenate([full, due])

    def _close(self, slots: Ints, emission: Emission, trigger: int) -> None:
        rows = self._table.rows[slots]
        emission.put(rows, slots, np.full(len(slots), trigger), holds=False, closed=True)

    def _put_due(self, watermark: Ints, emission: Emission) -> Ints:
        due = self._table.due(int(watermark[-1]))
        rows = self._table.rows[due]
        emission.put(rows, due, np.searchsorted(watermark, rows[:, DEADLINE], "right"), holds=False, closed=True)
        return due
