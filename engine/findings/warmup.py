"""The warm-up: decides when enough lines of a source were read to report findings."""

from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from engine.findings.base import State

MIN_BLOCKS = 24
"""Minimum number of blocks before anything is reported."""
_SHORT_BLOCKS = 4
"""The same of a log that is known to be short: half of it must do, although most detectors need more."""
_NEW_SHARE = 0.004
"""Share of lines with a template never seen that a source may show once it is known."""


class WarmUpSettings(BaseModel):
    """How much is learnt before the first finding."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_lines: int = Field(1000, ge=1, description="Minimum number of lines to learn from before anything is reported.")
    max_lines: int = Field(
        20_000, ge=1, description="Number of lines after which reporting starts even if new templates still appear."
    )


@dataclass(slots=True)
class WarmUp:
    """Counts lines and new templates until a source counts as known.

    Attributes:
        done: Whether the source counts as known.
        reason: The reason as text, once it does.
    """

    settings: WarmUpSettings
    done: bool = False
    reason: str = ""

    def update(
        self, *, lines: int, blocks: int, share: float | None, births: "np.ndarray[tuple[int], np.dtype[np.int64]]"
    ) -> None:
        """Looks again after a block.

        Args:
            lines: Lines so far.
            blocks: Blocks so far.
            share: Share of the source that has been read, where it is known.
            births: Rows at which new templates appeared, ascending; those behind `lines` have been read ahead.
        """
        if self.done or blocks < _SHORT_BLOCKS:
            return
        if blocks < MIN_BLOCKS or lines < self.settings.min_lines:
            if share is not None and share >= 0.5:
                self.end("half of it was read")
            return
        recent = int(((births >= lines * 3 // 4) & (births < lines)).sum()) / max(1, lines - lines * 3 // 4)
        if share is not None:
            if share >= 0.5:
                self.end("half of it was read")
            elif share >= 0.2 and recent <= _NEW_SHARE:
                self.end(
                    f"one line in {round(1 / max(recent, 1e-9)):,} was new by then"
                    if recent
                    else "nothing was new any more"
                )
        elif recent <= _NEW_SHARE or lines >= self.settings.max_lines:
            self.end("little was new any more" if recent <= _NEW_SHARE else "the limit of lines to learn was reached")

    def end(self, reason: str) -> None:
        """Begins to report; the first reason given is kept."""
        if not self.done:
            self.done, self.reason = True, reason

    def snapshot(self) -> State:
        """The state."""
        return {"done": self.done, "reason": self.reason}
