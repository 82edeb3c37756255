"""`nodes`: one host or thread of many that writes a template far more often than it used to and than the others do."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from engine.findings.base import NO_NODE, Block, Signal, State, TemplateLookup
from engine.findings.codes import Codes
from engine.findings.counts import CountHistory, Unusual, share_of_tests
from engine.findings.tails import LEAST

MAX_PAIRS = 20_000
_NODE_BITS = 16


class OddNodes:
    """Counts of (template, host) against their own history, see `engine.findings.counts`."""

    name: ClassVar[str] = "nodes"
    calibrated: ClassVar[bool] = False

    def __init__(self, state: State | None = None) -> None:
        saved = state or {}
        self._pairs = Codes(MAX_PAIRS, known=saved.get("pairs"))
        self._history = CountHistory(saved.get("history"))
        self._nodes: set[int] = set(saved.get("nodes", ()))

    def observe(self, block: Block, templates: TemplateLookup) -> Sequence[Signal]:
        """See `engine.findings.base.StreamDetector`."""
        node = block.lines.node
        if not node.any():
            return []
        self._nodes.update(np.unique(node[node != NO_NODE]).tolist())
        values = (block.lines.key.astype(np.int64) << _NODE_BITS) | node
        pair = self._pairs.of(values)
        pair[node == NO_NODE] = 0
        counts = np.bincount(pair, minlength=len(self._pairs) + 1).astype(np.float64)
        counts[0] = 0.0  # lines without a host, and pairs beyond the limit
        found: list[Signal] = []
        known = np.flatnonzero(self._history.total > 0)
        # A template that comes in floods from one host may do so from any.
        families = np.append(0, 1 + (self._pairs.known() >> _NODE_BITS))
        tested = self._pairs.known()[known - 1] >> _NODE_BITS
        for unusual in self._history.observe(counts, block.span_s, families):
            if len(self._nodes) > 1:
                found += self._signals(block, unusual, pair, templates, tested)
        return found

    def _signals(
        self,
        block: Block,
        unusual: Unusual,
        pair: NDArray[np.int32],
        templates: TemplateLookup,
        tested: NDArray[np.int64],
    ) -> list[Signal]:
        keys = self._pairs.known()[unusual.index - 1]
        surprise = unusual.surprise + np.log(share_of_tests(templates, keys >> _NODE_BITS, tested))
        found = []
        for i in np.flatnonzero((surprise > LEAST) & unusual.more).tolist():
            mine = np.flatnonzero(pair == unusual.index[i])
            if not len(mine):
                continue
            rows, times = block.lines.row[mine], block.lines.time_ns[mine]
            found.append(
                Signal(self.name, "node", int(keys[i]) >> _NODE_BITS, float(surprise[i]), float(unusual.count[i]),
                       float(unusual.usual[i]), int(unusual.count[i]), int(rows[0]), int(rows[-1]), int(times[0]),
                       max(int(times[0]), int(times[-1])), node=int(keys[i]) & ((1 << _NODE_BITS) - 1))
            )  # fmt: skip
        return found

    def coarsen(self) -> None:
        """See `engine.findings.base.StreamDetector`."""
        self._history.coarsen()

    def snapshot(self) -> State:
        """See `engine.findings.base.StreamDetector`."""
        return {"pairs": self._pairs.known(), "history": self._history.snapshot(), "nodes": sorted(self._nodes)}
