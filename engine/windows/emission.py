"""Windows on their way out: collected in any order, handed on in the one order that batches cannot change."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.records import WindowBatch
from engine.windows.grouping import Ints
from engine.windows.session_table import (
    BASE,
    COUNT,
    DEADLINE,
    FIRST,
    FIRST_NS,
    ID,
    LAST,
    LAST_NS,
    PARTITION,
    SESSION,
    SessionTable,
)
from models.base import Windows


class Emission:
    """The windows that one call closes or shows.

    Their order: by the line that decided them; at one line, first the windows that end before it (by deadline, first
    position, id), then those that it belongs to.
    """

    def __init__(self) -> None:
        self._rows: list[Ints] = []
        self._slots: list[Ints] = []
        self._trigger: list[Ints] = []
        self._holds: list[NDArray[np.bool_]] = []
        self._closed: list[NDArray[np.bool_]] = []

    def put(self, rows: Ints, slots: Ints, trigger: Ints, *, holds: bool, closed: bool) -> None:
        """Adds windows.

        Args:
            rows: (k, WIDTH), as in the table; COUNT lines from BASE are the window.
            slots: (k,): where the window's key is.
            trigger: (k,): row of the deciding line.
            holds: Whether the window holds that line.
            closed: See `Windows`; the blocks of closed windows are freed by `build`.
        """
        n = len(rows)
        if n:
            self._rows.append(rows)
            self._slots.append(slots)
            self._trigger.append(trigger)
            self._holds.append(np.full(n, holds))
            self._closed.append(np.full(n, closed))

    def build(
        self, table: SessionTable, partitions: Sequence[str], ready_ns: int, produced_ns: int, traceparent: str
    ) -> WindowBatch | None:
        """The windows in order, or None; call before their slots are released."""
        if not self._rows:
            return None
        rows, slots = np.concatenate(self._rows), np.concatenate(self._slots)
        trigger, holds = np.concatenate(self._trigger), np.concatenate(self._holds)
        closed: NDArray[np.bool_] = np.concatenate(self._closed)
        order = np.lexsort((rows[:, COUNT], rows[:, ID], rows[:, FIRST], rows[:, DEADLINE], holds, trigger))
        rows, slots, closed = rows[order], slots[order], closed[order]
        ids = table.tokens.gather(rows[:, BASE], rows[:, COUNT])
        table.tokens.free(rows[closed, BASE], rows[closed, COUNT])
        n = len(rows)
        columns = np.ascontiguousarray(rows.T)
        return WindowBatch(
            windows=Windows(ids, np.concatenate([np.zeros(1, np.int64), np.cumsum(columns[COUNT])]), closed),
            partition=tuple(map(partitions.__getitem__, columns[PARTITION].tolist())),
            session=columns[SESSION],
            key=table.words(slots),
            first=columns[FIRST],
            last=columns[LAST],
            first_ns=columns[FIRST_NS],
            last_ns=columns[LAST_NS],
            ready_ns=np.full(n, ready_ns),
            produced_ns=np.full(n, produced_ns),
            traceparent=traceparent,
        )
