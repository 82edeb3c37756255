"""Time as an argument: everything that asks for the time is given a clock."""

import time
from typing import Protocol


class Clock(Protocol):
    """Two clocks, because they answer different questions."""

    def wall_ns(self) -> int:
        """UTC time, ns since the epoch; may jump, also backwards. For stamps, never for waiting."""
        ...

    def monotonic_s(self) -> float:
        """Seconds since some start; never goes backwards. For ages, time-outs and idleness."""
        ...


class SystemClock:
    """The machine's clocks."""

    def wall_ns(self) -> int:
        """See `Clock`."""
        return time.time_ns()

    def monotonic_s(self) -> float:
        """See `Clock`."""
        return time.monotonic()


class ManualClock:
    """A clock that only advances when it is set; for tests and for reproducible runs on recorded logs."""

    def __init__(self, wall_ns: int = 0, monotonic_s: float = 0.0) -> None:
        self._wall_ns = wall_ns
        self._monotonic_s = monotonic_s

    def wall_ns(self) -> int:
        """See `Clock`."""
        return self._wall_ns

    def monotonic_s(self) -> float:
        """See `Clock`."""
        return self._monotonic_s

    def advance(self, seconds: float) -> None:
        """Moves both clocks on."""
        self._wall_ns += int(seconds * 1e9)
        self._monotonic_s += seconds

    def jump_wall(self, seconds: float) -> None:
        """Moves the wall clock alone, also backwards, as a time service does."""
        self._wall_ns += int(seconds * 1e9)
