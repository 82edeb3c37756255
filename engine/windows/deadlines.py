"""Which open windows are due: sorted runs of deadlines, merged as they grow alike.

Looking through a million open windows for each batch would cost more than everything else. Here a batch adds one
sorted run, and asking for what is due cuts the front off each run; runs of similar length are merged, so there are
few (about log2 of the entries). An entry is only a reminder: the window's own row holds the time when it is due.
"""

import numpy as np

from engine.windows.grouping import Ints

SLOT_BITS = 24
"""The slot replaces the lowest bits of the deadline, so that an entry is one number: 2^24 ns are 17 ms."""

_SLOTS = (1 << SLOT_BITS) - 1


def entries_for(deadline_ns: Ints, slots: Ints) -> Ints:
    """int64: the entry that reminds of each slot at its deadline, never later."""
    return (deadline_ns & ~_SLOTS) | slots


def slots_of(entries: Ints) -> Ints:
    """int64: the slot in each entry."""
    return entries & _SLOTS


class Deadlines:
    """A queue of entries by deadline."""

    def __init__(self) -> None:
        self._runs: list[Ints] = []

    def __len__(self) -> int:
        return sum(len(run) for run in self._runs)

    def push(self, entries: Ints) -> None:
        """Adds entries in any order."""
        if not len(entries):
            return
        runs = self._runs
        runs.append(np.sort(entries))
        while len(runs) > 1 and len(runs[-2]) <= 2 * len(runs[-1]):
            last = runs.pop()
            runs[-1] = np.sort(np.concatenate([runs[-1], last]))

    def pop(self, until_ns: int) -> Ints:
        """Removes and returns, sorted and once each, all entries whose deadline may lie before `until_ns`."""
        limit = until_ns | _SLOTS
        due: list[Ints] = []
        for i, run in enumerate(self._runs):
            if run[0] <= limit:
                cut = int(np.searchsorted(run, limit, "right"))
                due.append(run[:cut])
                self._runs[i] = run[cut:]
        if not due:
            return np.zeros(0, np.int64)
        self._runs = [run for run in self._runs if len(run)]
        entries = np.sort(np.concatenate(due))
        # A window that ended early and another in its slot may have left the same entry.
        distinct: Ints = entries[np.concatenate([[True], entries[1:] != entries[:-1]])]
        return distinct
