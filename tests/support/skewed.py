"""Runs a module as if this machine's wall clock were wrong: `python -m tests.support.skewed SECONDS MODULE ARGS...`."""

import datetime
import runpy
import sys
import time
from typing import Any


def skew(ahead_s: float) -> None:
    """Move the clocks that Python code reads; the monotonic one stays as it is."""
    real, ahead = time.time, datetime.timedelta(seconds=ahead_s)

    class Skewed(datetime.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return super().now(tz) + ahead

    time.time = lambda: real() + ahead_s
    datetime.datetime = Skewed  # type: ignore[misc]


if __name__ == "__main__":
    seconds, module = float(sys.argv[1]), sys.argv[2]
    sys.argv = sys.argv[2:]
    skew(seconds)
    runpy.run_module(module, run_name="__main__")
