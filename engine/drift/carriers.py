"""The templates that carry a change: their shares of windows in the reference and now."""

from typing import Any

import numpy as np

from engine.drift.base import rolling
from engine.drift.blocks import Blocks
from engine.drift.event import TemplateShare
from engine.drift.jensen_shannon import jensen_shannon
from engine.drift.settings import DriftSettings
from engine.drift.template_counts import Counts, TemplateColumns, widened


class Carriers:
    """Counts of windows by template, in the reference and in the latest blocks."""

    def __init__(self, settings: DriftSettings) -> None:
        self._settings = settings
        self._windows = 0
        self._reference: Counts = np.zeros((1, 1), np.int64)
        self._recent: Counts = np.zeros((0, 1), np.int64)  # (c, k), oldest first

    def learn(self, blocks: Blocks) -> None:
        """Adds blocks to the reference."""
        self._windows += blocks.scores.size
        self._reference = widened(self._reference, blocks.counts.shape[1]) + blocks.counts.sum(0)
        self.update(blocks)

    def update(self, blocks: Blocks) -> Counts:
        """int64 (m, k): windows that hold each template in the latest blocks, after each of the m blocks."""
        keep, columns = self._settings.current_blocks, blocks.counts.shape[1]
        lead = np.zeros((max(0, keep - len(self._recent)), columns), np.int64)
        recent = np.concatenate([lead, widened(self._recent, columns), blocks.counts])
        self._recent = recent[-keep:]
        return rolling(recent, keep)

    def of(self, counts: Counts | None, columns: TemplateColumns) -> tuple[TemplateShare, ...]:
        """The templates that carry most of the change from the reference, the first most.

        Args:
            counts: int64 (k,): windows that hold each template now; None for the latest blocks.
            columns: Ids and texts.
        """
        if not self._windows:
            return ()
        counts = self._recent.sum(0) if counts is None else counts
        before = widened(self._reference, len(counts))[0] / self._windows
        now = counts / (self._settings.current_blocks * self._settings.block_windows)
        parts = jensen_shannon(before, now)
        order = np.argsort(-parts, kind="stable")[: self._settings.max_templates]
        return tuple(
            TemplateShare(columns.template(i), columns.text(i), float(before[i]), float(now[i]))
            for i in order.tolist()
            if parts[i] > 0
        )

    def state(self) -> dict[str, Any]:
        """Plain data that nothing changes later."""
        return {"windows": self._windows, "reference": self._reference, "recent": self._recent}

    def restore(self, state: dict[str, Any]) -> None:
        """Continues from what `state` returned."""
        self._windows, self._reference, self._recent = state["windows"], state["reference"], state["recent"]
