"""How far event time has come, line by line."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from engine.clock import Clock
from engine.windows.grouping import Ints
from engine.windows.source_clocks import SourceClocks
from engine.windows.window_base import NO_TIME


class Watermark:
    """The watermark of a shard.

    After a line it is the latest event time of the line's partition so far (by the partition's first clock, see
    `engine.windows.source_clocks`), minus the allowed lateness; with several partitions the least of them. A partition
    without lines for `partition_idle_s` on the monotonic clock is left out until it gives lines again, so that it
    cannot hold the others up.

    Times of reading count only while no partition that has times of its own gives lines. The watermark goes back only
    when the first of these comes, since the lines of an old log are not late by the time at which its heading was read.
    """

    def __init__(self, lateness_ns: int, partition_idle_s: float, clock: Clock) -> None:
        self._lateness_ns = lateness_ns
        self._idle_s = partition_idle_s
        self._clock = clock
        self._clocks: dict[int, SourceClocks] = {}
        self._timeless: set[int] = set()
        self._seen_s: dict[int, float] = {}
        self.value_ns = NO_TIME

    def advance(self, partition: int, time_ns: Ints, *, timeless: bool = False) -> tuple[Ints, Ints]:
        """Times of lines by their partition's first clock, and the watermark after each line.

        `NO_TIME` entries move nothing. `timeless`: whether the times are those of reading.
        """
        now = self._clock.monotonic_s()
        self._seen_s[partition] = now
        if not timeless:
            self._dated(partition)
        elif partition not in self._clocks:
            self._timeless.add(partition)
        times, latest = self._clocks.setdefault(partition, SourceClocks()).read(time_ns)
        if partition in self._timeless and self._counted(now).isdisjoint(self._timeless):
            return times, np.full(len(times), self.value_ns)
        others = self._active(now, but=partition)
        if others:
            np.minimum(latest, min(others), out=latest)
        latest -= self._lateness_ns
        np.maximum(latest, self.value_ns, out=latest)
        self.value_ns = int(latest[-1])
        return times, latest

    def _dated(self, partition: int) -> None:
        """Notes that a partition has times of its own."""
        if self._timeless and len(self._timeless) == len(self._clocks):
            self.value_ns = NO_TIME
        if partition in self._timeless:
            self._timeless.remove(partition)
            del self._clocks[partition]

    def drop_idle(self) -> int:
        """The watermark without the partitions that are idle now; if all are idle, it does not move."""
        active = self._active(self._clock.monotonic_s())
        if active:
            self.value_ns = max(self.value_ns, min(active) - self._lateness_ns)
        return self.value_ns

    def _active(self, now_s: float, but: int = -1) -> list[int]:
        return [self._clocks[p].latest_ns for p in self._counted(now_s) if p != but]

    def _counted(self, now_s: float) -> set[int]:
        """The partitions that are not idle; of these only the ones with times of their own, if there are any."""
        active = {p for p in self._clocks if self._seen_s[p] >= now_s - self._idle_s}
        return active - self._timeless or active

    def dump(self) -> dict[str, object]:
        """JSON-compatible state."""
        clocks = {str(p): c.dump() for p, c in self._clocks.items()}
        return {"value_ns": self.value_ns, "clocks": clocks, "timeless": sorted(self._timeless)}

    def load(self, value_ns: int, clocks: dict[str, list[Any]], timeless: Iterable[int] = ()) -> None:
        """Takes over what `dump` gave; every partition counts as seen just now."""
        now = self._clock.monotonic_s()
        self.value_ns = value_ns
        self._clocks = {int(p): SourceClocks(*state) for p, state in clocks.items()}
        self._timeless = set(timeless)
        self._seen_s = dict.fromkeys(self._clocks, now)
