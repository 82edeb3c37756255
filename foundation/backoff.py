"""Pauses between attempts: they double up to a bound, and are short again after an attempt that lasted."""

FIRST_S = 0.5
LAST_S = 30.0
STABLE_S = 60.0
"""What lasted this long was sound: the next pause is the first one again."""


class Backoff:
    """The pauses of one thing that is attempted repeatedly."""

    def __init__(self, first_s: float = FIRST_S, last_s: float = LAST_S) -> None:
        """Begin with the first pause; none is longer than `last_s`."""
        self._first_s = first_s
        self._last_s = last_s
        self._next_s = first_s

    def pause_s(self, lasted_s: float = 0.0) -> float:
        """Return the pause before the next attempt, after one that lasted `lasted_s` seconds."""
        if lasted_s >= STABLE_S:
            self.reset()
        pause_s = self._next_s
        self._next_s = min(2 * pause_s, self._last_s)
        return pause_s

    def reset(self) -> None:
        """Make the next pause the first one again, because an attempt succeeded."""
        self._next_s = self._first_s
