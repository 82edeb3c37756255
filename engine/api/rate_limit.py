"""Limits how often one caller may do something: a token bucket for each name."""

from collections import OrderedDict
from collections.abc import Callable

from engine.api.problems import ProblemError

MAX_NAMES = 10_000
"""Callers remembered; the one that was not seen for longest is forgotten first."""


class RateLimit:
    """At most `per_minute` calls a minute for each name, and as many at once."""

    def __init__(self, per_minute: int, monotonic_s: Callable[[], float]) -> None:
        self._per_minute = per_minute
        self._monotonic_s = monotonic_s
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def spend(self, name: str) -> None:
        """Count a call.

        Raises:
            ProblemError: it is one too many; status 429 with `Retry-After`.
        """
        now_s = self._monotonic_s()
        left, then_s = self._left.pop(name, (float(self._per_minute), now_s))
        left = min(self._per_minute, left + (now_s - then_s) * self._per_minute / 60)
        self._left[name] = (max(left - 1, 0) if left >= 1 else left, now_s)
        if len(self._left) > MAX_NAMES:
            self._left.popitem(last=False)
        if left < 1:
            wait_s = int((1 - left) * 60 / self._per_minute) + 1
            raise ProblemError(429, f"too many requests; try again in {wait_s} s", {"Retry-After": str(wait_s)})
