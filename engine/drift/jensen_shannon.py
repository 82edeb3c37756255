"""Jensen-Shannon divergence of the template whose share of windows has moved furthest.

Lin, "Divergence measures based on the Shannon entropy", 1991. The divergence of the whole distribution drowns a
single template's change in all the others' chance, so each template is compared alone. Cumulative sums
(`engine.drift.cusum`) detect that its share changed, and since when; the divergence of its share since then states
whether that matters.
"""

import numpy as np

from engine.drift.base import Floats, Setup
from engine.drift.blocks import Blocks
from engine.drift.moves import Move
from engine.drift.summed import Summed


class JensenShannon(Summed):
    """See the module; 0 to 1 bit. The value is 0 while no template's share has changed."""

    name = "jensen_shannon"
    watches = "templates"
    floor = 0.01
    reach = 1.0
    kept = ("columns",)

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.columns = 1

    def update(self, blocks: Blocks) -> Floats:
        """See `Statistic.update`."""
        rows, times_ns = blocks.shares(), blocks.time_ns[:, 0]
        # Templates are numbered as they appear: a block must not depend on those of later blocks.
        last = np.where(rows > 0, np.arange(1, rows.shape[1] + 1), 1).max(1)
        columns = np.maximum(np.maximum.accumulate(last), self.columns)
        self.moves, i = [], 0
        while i < len(rows):
            same = int((columns[i:] <= self.columns).sum())
            skipped = self._cusum.skip(rows[i : i + same, : self.columns], times_ns[i : i + same])
            self.moves += [()] * skipped
            i += skipped
            if i < len(rows):
                self.columns = int(columns[i])
                self.moves.append(self._add(rows[i, : self.columns], int(times_ns[i])))
                i += 1
        return np.array([found[0].divergence if found else 0.0 for found in self.moves])

    def _add(self, row: Floats, time_ns: int) -> tuple[Move, ...]:
        """The templates whose share has changed after another block, the largest change first."""
        changed = self._cusum.add(row, time_ns)
        if not changed.any():
            self._cusum.grow()
            return ()
        usual, now = self._cusum.usual, self._cusum.current(row)
        divergence = np.where(self._cusum.together(changed), jensen_shannon(usual, now), 0.0)
        way, divergence = divergence.argmax(0), divergence.max(0)
        order = np.argsort(-divergence, kind="stable")
        found = tuple(
            Move(i, float(divergence[i]), float(usual[i]), float(now[way[i], i]), int(self._cusum.since[way[i], i]))
            for i in order.tolist()
            if divergence[i] >= self.least
        )
        self._cusum.grow(raised=bool(found))
        return found

    def _smallest(self, usual: Floats) -> Floats:
        """float64 (2, k): the moves of shares (k,) upwards and downwards that have the divergence of the floor."""
        found = []
        for sign in (1, -1):
            move = np.full(usual.shape, 0.1)
            for _ in range(5):  # the divergence is near move² / (8 ln 2 middle (1 - middle))
                middle = np.clip(usual + sign * move / 2, 0.0, 1.0)
                move = np.sqrt(8 * np.log(2) * self.least * np.maximum(middle * (1 - middle), 0.002))
            found.append(move)
        return np.stack(found)


def jensen_shannon(reference: Floats, current: Floats) -> Floats:
    """How far each template's share (…, k) has moved: the divergence of "holds it" and "does not", in bits, 0 to 1."""
    middle = (reference + current) / 2
    found: Floats = _entropy(middle) - (_entropy(reference) + _entropy(current)) / 2
    return np.maximum(found, 0.0)


def _entropy(share: Floats) -> Floats:
    """Of a yes or no with this probability of yes, in bits."""
    inside = np.clip(share, 1e-12, 1 - 1e-12)
    found: Floats = -(inside * np.log2(inside) + (1 - inside) * np.log2(1 - inside))
    return found
