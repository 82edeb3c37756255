"""What all windowers share: the table, the watermark, keys, eviction and snapshots."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from engine.clock import Clock
from engine.records import NO_SESSION, ParsedLines, WindowBatch
from engine.windows.grouping import Ints
from engine.windows.session_table import MAX_OPEN, SessionTable
from engine.windows.state_codec import pack, unpack
from engine.windows.table_log import TableLog
from engine.windows.watermark import Watermark
from engine.windows.window_base import NO_TIME, WHOLE_SOURCE, LateLine, WindowCounters, Windowed, WindowStateError
from models.base import template_id

_EVICTED_SHARE = 32
"""Eviction by number clears one in this many, so that the search for the oldest is paid once for many windows."""

_LIMITS = frozenset({"max_open", "idle_s", "partition_idle_s", "max_ahead_s"})
"""Settings that bound the state and do not shape windows: a snapshot may be used under other ones."""


class ShardSettings(BaseModel):
    """What the settings of all kinds of windows have."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_open: Annotated[int, Field(ge=1, le=MAX_OPEN // 2)] = Field(
        default=1_000_000,
        description="Maximum number of open windows (sliding: keys); beyond it the oldest are closed and scored early.",
    )
    idle_s: Annotated[float, Field(gt=0, le=3.2e8)] = Field(
        default=3600.0,
        description="A window without a new line for this many seconds of machine time is closed and scored, even "
        "if event time does not advance.",
    )
    partition_idle_s: Annotated[float, Field(gt=0)] = Field(
        default=30.0,
        description="If one shard reads several partitions: seconds after which a silent partition no longer delays "
        "the watermark.",
    )
    unkeyed: Literal["window", "skip"] = Field(
        default="window",
        description="Lines without a session key: 'window' forms separate windows of them for each partition, "
        "'skip' leaves them out and counts them.",
    )
    max_ahead_s: Annotated[float, Field(gt=0, le=3.2e9)] = Field(
        default=86_400.0,
        description="A line whose event time is further ahead of the machine's clock is a dead letter; otherwise it "
        "would close all open windows. The default of a day is more than the error of any wrong time "
        "zone.",
    )

    def shape(self) -> Mapping[str, Any]:
        """The settings of how windows are cut: state made under others cannot be used. JSON-compatible."""
        return self.model_dump(mode="json", exclude=set(_LIMITS))


class Outgoing(Protocol):
    """Windows on their way out of one call."""

    def build(
        self, table: SessionTable, partitions: Sequence[str], ready_ns: int, produced_ns: int, traceparent: str
    ) -> WindowBatch | None:
        """The windows in order, or None; called before their slots are released."""
        ...


OutT = TypeVar("OutT", bound=Outgoing)


class WindowShard(ABC, Generic[OutT]):
    """Open windows of one shard; subclasses define what a window is."""

    kind: str
    follows: frozenset[str] = frozenset()
    """Settings that may differ from those of a snapshot: its open windows then continue under the new ones."""

    def __init__(
        self,
        settings: ShardSettings,
        clock: Clock,
        outgoing: type[OutT],
        folder: Path | None,
        lateness_s: float = 0.0,
        token_width: int = 1,
    ) -> None:
        self._outgoing = outgoing
        self.counters = WindowCounters()
        self._settings = settings
        self._clock = clock
        self._started_s = clock.monotonic_s()
        self._table = SessionTable(token_width)
        self._log = TableLog(folder)
        self._watermark = Watermark(nanoseconds(lateness_s), settings.partition_idle_s, clock)
        self._partitions: list[str] = []
        self._number: dict[str, int] = {}
        self._unkeyed: list[int] = []

    @property
    def open_windows(self) -> int:
        """See `Windower`."""
        return len(self._table)

    @property
    def watermark_ns(self) -> int:
        """See `Windower`."""
        return self._watermark.value_ns

    @property
    def token_bytes(self) -> int:
        """Memory set aside for the lines of open windows."""
        return self._table.tokens.nbytes

    def add(self, lines: ParsedLines) -> Windowed:
        """See `Windower`."""
        if not len(lines):
            return Windowed(None)
        emission = self._outgoing()
        late, released = self._take(lines, self._partition(lines.lines.partition), emission)
        released = np.concatenate([released, self._evict_oldest(released, emission, len(lines))])
        batch = lines.lines
        windows = self._finish(emission, released, batch.read_ns, batch.produced_ns, batch.traceparent)
        self.counters.late += len(late)
        return Windowed(windows, late)

    @abstractmethod
    def _take(self, lines: ParsedLines, partition: int, emission: OutT) -> tuple[tuple[LateLine, ...], Ints]:
        """Add lines to windows; return late lines, and the slots to release afterwards."""

    @abstractmethod
    def _close(self, slots: Ints, emission: OutT, trigger: int) -> None:
        """Emit the windows in `slots` as they are; the slots are released afterwards."""

    def _due(self) -> Ints:
        """Slots that the watermark has passed without a line, because an idle partition was left out."""
        return self._table.due(self._watermark.drop_idle())

    def tick(self) -> WindowBatch | None:
        """See `Windower`."""
        due = self._due()
        idle = self._table.idle(math.floor(self._now_s() - self._settings.idle_s))
        idle = idle[~np.isin(idle, due)]
        self.counters.evicted += len(idle)
        return self._close_now(np.concatenate([due, idle]))

    def close_all(self) -> WindowBatch | None:
        """See `Windower`."""
        return self._close_now(self._table.used())

    def _close_now(self, slots: Ints) -> WindowBatch | None:
        if not len(slots):
            return None
        emission = self._outgoing()
        self._close(slots, emission, 0)
        now = self._clock.wall_ns()
        return self._finish(emission, slots, now, now, "")

    def _evict_oldest(self, released: Ints, emission: OutT, trigger: int) -> Ints:
        excess = len(self._table) - len(released) - self._settings.max_open
        if excess <= 0:
            return np.zeros(0, np.int64)
        excess += self._settings.max_open // _EVICTED_SHARE
        slots = self._table.oldest(excess, but=released)
        self.counters.evicted += len(slots)
        self._close(slots, emission, trigger)
        return slots

    def _finish(self, emission: OutT, released: Ints, ready: int, produced: int, trace: str) -> WindowBatch | None:
        windows = emission.build(self._table, self._partitions, ready, produced, trace)
        self._release(released)
        self.counters.emitted += 0 if windows is None else len(windows)
        return windows

    def _release(self, slots: Ints) -> None:
        if len(slots):
            self._table.release(slots)

    def _now_s(self) -> float:
        return self._clock.monotonic_s() - self._started_s

    def _partition(self, name: str) -> int:
        number = self._number.get(name)
        if number is None:
            number = self._number[name] = len(self._partitions)
            self._partitions.append(name)
            self._unkeyed.append(template_id(f"lines without a session key in {name}"))
        return number

    def _refuse(self, lines: ParsedLines, late: NDArray[np.bool_], watermark: Ints) -> tuple[LateLine, ...]:
        """The refused lines with their reasons; `watermark` is the one after each line."""
        refused = []
        for row in late.nonzero()[0].tolist():
            time, behind = int(lines.time_ns[row]), int(watermark[row] - lines.time_ns[row]) / 1e9
            ahead = (time - lines.lines.read_ns) / 1e9
            if ahead > self._settings.max_ahead_s:
                reason = (
                    f"event time lies {ahead:.1f} s ahead of the machine's clock; "
                    f"up to {self._settings.max_ahead_s:g} s are taken (max_ahead_s)"
                )
            else:
                reason = f"late by {behind:.1f} s behind the watermark: every window it belongs to has ended"
            refused.append(LateLine(row, reason))
        return tuple(refused)

    def _timely(self, lines: ParsedLines) -> Ints:
        """Event times, `NO_TIME` for lines further ahead of the clock than allowed."""
        limit = lines.lines.read_ns + nanoseconds(self._settings.max_ahead_s)
        if int(lines.time_ns.max()) <= limit:
            return lines.time_ns
        return np.where(lines.time_ns > limit, NO_TIME, lines.time_ns)

    def _ids(self, lines: ParsedLines, partition: int) -> tuple[Ints, NDArray[np.bool_] | None]:
        """What lines are matched by, and a mask of those without a session key (None: all have one)."""
        unkeyed = lines.session == NO_SESSION
        if not unkeyed.any():
            return lines.session, None
        return np.where(unkeyed, self._unkeyed[partition], lines.session), unkeyed

    def _slots(self, ids: Ints, sessions: Ints, first_rows: Ints, lines: ParsedLines) -> Ints:
        """The slot of each id; ids that have none get one, with the key found in the given row of `lines`."""
        slots = self._table.find(ids)
        new = (slots < 0).nonzero()[0]
        if len(new):
            slots[new] = self._table.open(ids[new], sessions[new], _keys(lines, first_rows[new], sessions[new]))
        # Rounded up, so that no window is idle a moment too early.
        self._table.touched_s[slots] = math.ceil(self._now_s())
        return slots

    @property
    def part_bytes(self) -> int:
        """See `Windower`."""
        return self._log.written_bytes

    def snapshot(self) -> bytes:
        """See `Windower`."""
        saved, whole = self._log.save(self._table)
        header = {
            "kind": self.kind,
            "shape": self._settings.shape(),
            "partitions": self._partitions,
            "watermark": self._watermark.dump(),
            "log": saved,
        }
        return pack(header, whole)

    def _restore(self, state: bytes) -> None:
        header, arrays = unpack(state)
        shape = self._settings.shape()
        same = {**header["shape"], **{name: shape[name] for name in self.follows}} == shape
        if header["kind"] != self.kind or not same:
            raise WindowStateError(
                f"the saved windows were cut as {header['kind']} with {header['shape']}, but the settings are now "
                f"{self.kind} with {shape}: go back to those settings, or start without the saved state"
            )
        for name in header["partitions"]:
            self._partition(name)
        self._watermark.load(**header["watermark"])
        self._log.load(self._table, header["log"], arrays, deadlines=self.kind != "sliding")


def nanoseconds(seconds: float) -> int:
    """Seconds as a whole number of nanoseconds."""
    return round(seconds * 1e9)


def _keys(lines: ParsedLines, rows: Ints, sessions: Ints) -> list[bytes]:
    data = lines.lines.data
    spans = zip(
        lines.key_start[rows].tolist(), lines.key_end[rows].tolist(), (sessions == WHOLE_SOURCE).tolist(), strict=True
    )
    return [b"" if whole else data[start:end] for start, end, whole in spans]
