"""Pauses between attempts: they double up to a bound, and are short again after an attempt that lasted."""

FIRST_S = 0.5
LAST_S = 30.0
STABLE_S = 60.0
"""What lasted this long was sound: the next pause is the first one again."""


class Backoff:
    """The pauses of one thing that is attempted repeatedly."""

    def __init__(self) -> None:
        """Begin with the first pause."""
        self._next_s = FIRST_S

    def pause_s(self, lasted_s: float) -> float:
        """Return the pause before the next attempt, after one that lasted `lasted_s` seconds."""
        pause_s = FIRST_S if lasted_s >= STABLE_S else self._next_s
        self._next_s = min(2 * pause_s, LAST_S)
        return pause_s
