"""Lines of one batch as pieces of windows: the vectorised core of session and time windows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.windows.emission import Emission
from engine.windows.grouping import Groups, Ints, range_reduce, running_max
from engine.windows.session_table import BASE, COUNT, DEADLINE, FIRST, FIRST_NS, LAST, LAST_NS, PARTITION, SessionTable


@dataclass(frozen=True, slots=True)
class Entries:
    """One entry for each line and window that it belongs to, in the order of the lines.

    Attributes:
        id: int64 (m,): what the window is matched by.
        row: int64 (m,), ascending: the line.
        time, template, position: int64 (m,): of the line.
        deadline: int64 (m,): end of the window, or None where it follows from the latest line (sessions).
    """

    id: Ints
    row: Ints
    time: Ints
    template: Ints
    position: Ints
    deadline: Ints | None = None

    def take(self, index: Ints) -> "Entries":
        """The entries at `index`, in that order."""
        deadline = None if self.deadline is None else self.deadline[index]
        return Entries(
            self.id[index], self.row[index], self.time[index], self.template[index], self.position[index], deadline
        )


@dataclass(frozen=True, slots=True)
class Cutting:
    """How windows are cut: by length, by a gap in event time (None: no gap), and shown at growth steps."""

    max_length: int
    gap_ns: int | None
    steps: Ints


@dataclass(frozen=True, slots=True)
class Segments:
    """Consecutive lines of one id that go into one window.

    Attributes:
        start, end: int64 (c,): grouped places of the piece.
        group: int64 (c,): its group.
        ends_group: bool (c,): the last piece of its group.
        continues: bool (c,): it continues with the window that was open before.
        rows: int64 (c, WIDTH): the window after the piece, as a row of the table.
        held: int64 (c,): lines of the window before the piece.
    """

    start: Ints
    end: Ints
    group: Ints
    ends_group: NDArray[np.bool_]
    continues: NDArray[np.bool_]
    rows: Ints
    held: Ints


def absorb(
    table: SessionTable,
    entries: Entries,
    groups: Groups,
    slots: Ints,
    partition: int,
    watermark: Ints,
    before_ns: int,
    cutting: Cutting,
    emission: Emission,
) -> Ints:
    """Add a batch's lines to their windows.

    1. Cut each group of equal ids into pieces, one for each window that it touches.
    2. Write the lines behind those already held.
    3. Emit windows that ended before one of these lines, that are full, or that reached a growth step.
    4. Write what stays open back to the table.

    Args:
        table: The open windows; every group has a slot.
        entries: The lines, **in grouped order**.
        groups: The grouping.
        slots: int64 (g,): slot of each group.
        partition: Number of the partition of all these lines.
        watermark: int64 (rows of the batch,): the watermark after each line of the batch, in line order.
        before_ns: The watermark before the batch.
        cutting: See the class.
        emission: Takes the windows.

    Returns:
        int64: slots that hold no window any more; release them once the windows are built.
    """
    prior = table.rows[slots]
    cut = _cuts(entries, groups, prior, watermark, before_ns, cutting)
    pieces = _pieces(entries, groups, prior, cut, partition, cutting.gap_ns)  # 1
    pieces.rows[:, BASE] = table.tokens.extend(
        pieces.rows[:, BASE], pieces.held, pieces.end - pieces.start, entries.template
    )  # 2
    full = pieces.rows[:, COUNT] == cutting.max_length
    _put_ended(groups.starts, entries.row, prior, slots, cut, watermark, emission)  # 3
    _put_cut_off(pieces, entries.row, slots, full, watermark, emission)
    if len(cutting.steps):
        _grow(pieces, entries, prior, slots, partition, cutting.steps, emission)
    stays = (pieces.ends_group & ~full).nonzero()[0]  # 4
    kept = slots[pieces.group[stays]]
    table.write(kept, pieces.rows[stays], grew=pieces.continues[stays])
    # A reminder may come too early, never too late: a window that continues keeps the one it has.
    table.remind(kept[~pieces.continues[stays]])
    empty: Ints = slots[pieces.group[(pieces.ends_group & full).nonzero()[0]]]
    table.forget(empty)
    return empty


def _put_ended(
    starts: Ints, row: Ints, prior: Ints, slots: Ints, cut: NDArray[np.bool_], watermark: Ints, emission: Emission
) -> None:
    """Emit the windows that were open before and that the first line of their group does not continue."""
    ended = np.flatnonzero((prior[:, COUNT] > 0) & cut[starts])
    rows = prior[ended]
    emission.put(rows, slots[ended], _trigger(rows, row[starts[ended]], watermark), holds=False, closed=True)


def _put_cut_off(
    pieces: Segments, row: Ints, slots: Ints, full: NDArray[np.bool_], watermark: Ints, emission: Emission
) -> None:
    """Emit the windows that end within the batch: before the next line of their id, or with the one that fills."""
    over = (~pieces.ends_group & ~full).nonzero()[0]
    rows = pieces.rows[over]
    trigger = _trigger(rows, row[pieces.end[over]], watermark)
    emission.put(rows, slots[pieces.group[over]], trigger, holds=False, closed=True)
    done = full.nonzero()[0]
    emission.put(pieces.rows[done], slots[pieces.group[done]], row[pieces.end[done] - 1], holds=True, closed=True)


def _trigger(rows: Ints, next_row: Ints, watermark: Ints) -> Ints:
    """The line that ends each window: the next one of its id, or one before that moves the watermark past it."""
    return np.minimum(next_row, np.searchsorted(watermark, rows[:, DEADLINE], "right"))


def _cuts(
    entries: Entries, groups: Groups, prior: Ints, watermark: Ints, before_ns: int, cutting: Cutting
) -> NDArray[np.bool_]:
    """Whether each line, in grouped order, begins a new window: bool (m,)."""
    held = prior[:, COUNT]
    if cutting.gap_ns is None:
        place = np.arange(len(entries.id)) + (held - groups.starts)[groups.numbers]
        over: NDArray[np.bool_] = place % cutting.max_length == 0
        return over
    # A window also ends where the watermark passes it, and the watermark before a line may be ahead of the line.
    so_far = np.concatenate([np.array([before_ns]), watermark[:-1]])[entries.row]
    reached = np.maximum(entries.time, so_far)
    latest = np.empty_like(reached)
    latest[1:] = running_max(entries.time, groups)[:-1]
    latest[groups.starts] = prior[:, LAST_NS]
    np.maximum(latest, prior[:, LAST_NS][groups.numbers], out=latest)
    cut: NDArray[np.bool_] = reached - latest > cutting.gap_ns
    cut[groups.starts[held == 0]] = True
    for g in (held + groups.lengths > cutting.max_length).nonzero()[0].tolist():
        part = slice(int(groups.starts[g]), int(groups.starts[g] + groups.lengths[g]))
        cut[part] = _cut_long(
            entries.time[part].tolist(), reached[part].tolist(), int(held[g]), int(prior[g, LAST_NS]), cutting
        )
    return cut


def _cut_long(time: list[int], reached: list[int], count: int, latest: int, cutting: Cutting) -> list[bool]:
    """The cuts of one id whose window becomes full: later lines do not depend on the times before."""
    gap, longest = cutting.gap_ns or 0, cutting.max_length
    cut = []
    for t, r in zip(time, reached, strict=True):
        new = count == 0 or count == longest or r - latest > gap
        cut.append(new)
        if new:
            count, latest = 1, t
        else:
            count += 1
            latest = max(latest, t)
    return cut


def _pieces(
    entries: Entries, groups: Groups, prior: Ints, cut: NDArray[np.bool_], partition: int, gap_ns: int | None
) -> Segments:
    begins = cut.copy()
    begins[groups.starts] = True
    start = begins.nonzero()[0]
    end = np.append(start[1:], len(cut))
    number = groups.numbers[start]
    continues = ~cut[start]
    rows = prior[number]
    held = np.where(continues, rows[:, COUNT], 0)
    first_ns, last_ns = np.minimum.reduceat(entries.time, start), np.maximum.reduceat(entries.time, start)
    # Positions of two partitions cannot be compared: a window keeps to those of the one it began in.
    foreign = continues & (rows[:, PARTITION] != partition)
    rows[:, COUNT] = held + (end - start)
    rows[:, FIRST] = np.where(continues, rows[:, FIRST], entries.position[start])
    rows[:, LAST] = np.where(foreign, rows[:, LAST], entries.position[end - 1])
    rows[:, FIRST_NS] = np.where(continues, np.minimum(rows[:, FIRST_NS], first_ns), first_ns)
    rows[:, LAST_NS] = np.where(continues, np.maximum(rows[:, LAST_NS], last_ns), last_ns)
    rows[:, PARTITION] = np.where(continues, rows[:, PARTITION], partition)
    if entries.deadline is not None:
        rows[:, DEADLINE] = entries.deadline[start]
    elif gap_ns is not None:
        rows[:, DEADLINE] = rows[:, LAST_NS] + gap_ns
    ends_group = np.append(number[1:] != number[:-1], True)
    return Segments(start, end, number, ends_group, continues, rows, held)


def _grow(
    pieces: Segments, entries: Entries, prior: Ints, slots: Ints, partition: int, steps: Ints, emission: Emission
) -> None:
    """Shows windows at the lines at which their length reached a growth step."""
    low = np.searchsorted(steps, pieces.held, "right")
    passed = np.searchsorted(steps, pieces.rows[:, COUNT], "right") - low
    which = np.repeat(np.arange(len(passed)), passed)
    if not len(which):
        return
    nth = np.arange(len(which)) - np.repeat(np.cumsum(passed) - passed, passed)
    length = steps[low[which] + nth]
    start = pieces.start[which]
    end = start + (length - pieces.held[which])
    before, continues = prior[pieces.group[which]], pieces.continues[which]
    first_ns = range_reduce(np.minimum, entries.time, start, end)
    last_ns = range_reduce(np.maximum, entries.time, start, end)
    rows = pieces.rows[which]
    rows[:, COUNT] = length
    rows[:, LAST] = np.where(
        continues & (before[:, PARTITION] != partition), before[:, LAST], entries.position[end - 1]
    )
    rows[:, FIRST_NS] = np.where(continues, np.minimum(before[:, FIRST_NS], first_ns), first_ns)
    rows[:, LAST_NS] = np.where(continues, np.maximum(before[:, LAST_NS], last_ns), last_ns)
    emission.put(rows, slots[pieces.group[which]], entries.row[end - 1], holds=True, closed=False)
