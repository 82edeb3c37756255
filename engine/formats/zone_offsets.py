"""Offsets of a time zone as compiled code looks them up."""

import numpy as np

OFFSET_SLOTS = 4096


class ZoneOffsets:
    """Offsets of one zone, for compiled code: a slot holds the last quarter of an hour that was asked about.

    Attributes:
        quarters: int64 (OFFSET_SLOTS,): quarters of an hour of local time since the epoch.
        seconds: int64 (OFFSET_SLOTS,): by how much local time is ahead of UTC in each.
    """

    def __init__(self) -> None:
        self.quarters = np.full(OFFSET_SLOTS, np.iinfo(np.int64).min)
        self.seconds = np.zeros(OFFSET_SLOTS, np.int64)

    def add(self, quarter: int, seconds: int) -> None:
        """Keeps an offset."""
        self.quarters[quarter % OFFSET_SLOTS], self.seconds[quarter % OFFSET_SLOTS] = quarter, seconds
