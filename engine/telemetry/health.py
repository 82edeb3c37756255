"""What is wrong right now: named conditions, and whether the worker still moves.

Alive and ready are different questions. A worker whose broker is down is alive (a restart would not
help) and not ready (its reason is listed); a worker whose loop is stuck is not alive.
"""

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace

from engine.clock import Clock
from foundation.time_text import iso_seconds

log = logging.getLogger(__name__)

CONDITIONS: Mapping[str, str] = {
    "source": "the source can be read",
    "sinks": "every sink acknowledges what it is given",
    "model": "a verified model is loaded",
    "recovery": "snapshots can be written",
    "lag": "the source is not running away from the engine",
}
"""What readiness of an engine depends on, and what `ok` means for each."""

OPTIONAL: Mapping[str, str] = {
    "drift": "nothing watches for drift",
    "input": "few lines are rejected or without a time",
}
"""Conditions of optional parts, with their text while they do not report."""

COORDINATOR: Mapping[str, str] = {
    "events": "drift events can be read",
    "rounds": "rounds are run and published",
}
"""The same for the coordinator of federated rounds."""


@dataclass(frozen=True, slots=True)
class Condition:
    """State of one part.

    Attributes:
        ok: False where the part fails or has not reported yet.
        detail: One sentence for an operator.
        since_ns: Wall clock at which `ok` took its present value.
    """

    ok: bool
    detail: str
    since_ns: int


class Health:
    """The conditions of one engine process; any thread may report and read.

    A condition that begins to fail, and its recovery, are logged once each: without that, an engine that
    waits for its broker would look idle in the log.
    """

    def __init__(
        self, clock: Clock, stall_s: float, conditions: Mapping[str, str] = CONDITIONS,
        optional: Mapping[str, str] = OPTIONAL,
    ) -> None:  # fmt: skip
        """Starts with the conditions failing and the optional ones fulfilled.

        Args:
            clock: For ages and stamps.
            stall_s: The worker counts as stuck after this many seconds without `progress`.
            conditions: Names, and what `ok` means for each.
            optional: The same for parts that may never report.
        """
        self._means = {**conditions, **optional}
        self._clock = clock
        self._stall_s = stall_s
        self._lock = threading.Lock()
        self._waiting = Condition(False, "not reported yet", clock.wall_ns())
        self._conditions = dict.fromkeys(conditions, self._waiting)
        self._conditions |= {name: Condition(True, detail, clock.wall_ns()) for name, detail in optional.items()}
        self._progress_s = clock.monotonic_s()

    def ok(self, name: str, detail: str = "") -> None:
        """Report that the part `name` works; `detail` may name the resource in use."""
        self._report(name, True, detail or self._means.get(name, ""))

    def fail(self, name: str, detail: str) -> None:
        """The part `name` does not work; `detail` gives the fault and the value."""
        self._report(name, False, detail)

    def progress(self) -> None:
        """The worker's loop came round; called at every turn, also when there was nothing to do."""
        self._progress_s = self._clock.monotonic_s()

    def conditions(self) -> dict[str, Condition]:
        """All conditions as they are now."""
        with self._lock:
            return dict(self._conditions)

    def alive(self) -> tuple[bool, dict[str, object]]:
        """Whether the worker's loop moves, and the page that reports it."""
        idle_s = self._clock.monotonic_s() - self._progress_s
        ok = idle_s <= self._stall_s
        page: dict[str, object] = {"status": "ok" if ok else "stuck", "last_progress_s": round(idle_s, 3)}
        if not ok:
            page["detail"] = f"the worker made no progress for {idle_s:.1f} s; {self._stall_s:g} s are allowed"
        return ok, page

    def ready(self) -> tuple[bool, dict[str, object]]:
        """Whether lines become alerts now, and the page that lists what is wrong."""
        conditions = self.conditions()
        alive, page = self.alive()
        wrong = [f"{name}: {condition.detail}" for name, condition in conditions.items() if not condition.ok]
        if not alive:
            wrong.append(f"worker: {page['detail']}")
        return not wrong, {
            "status": "failing" if wrong else "ok",
            "wrong": wrong,
            "conditions": {name: _words(condition) for name, condition in conditions.items()},
        }

    def _report(self, name: str, ok: bool, detail: str) -> None:
        with self._lock:
            if name not in self._conditions:
                raise ValueError(f"unknown condition {name!r}; known are {', '.join(self._means)}")
            before = self._conditions[name]
            if (before.ok, before.detail) == (ok, detail):
                return
            new = replace(before, ok=ok, detail=detail)
            changed = before.ok != ok or before is self._waiting
            self._conditions[name] = replace(new, since_ns=self._clock.wall_ns()) if changed else new
        if changed and not ok:
            log.warning("%s: %s", name, detail, extra={"condition": name})
        elif changed and before is not self._waiting:
            log.info("%s: again, %s", name, detail, extra={"condition": name})


class LagWatch:
    """Reports the condition `lag`: fails while the lag grows from one stretch of time to the next.

    Compared are the smallest lags of two stretches, so that a burst, or a steady backlog that a fetch
    cycle moves up and down, raises no alarm.
    """

    GROWTH = 1.1
    """A lag that grew by less than ten percent counts as the same."""
    STRETCH_S = 30.0
    """Longer than a fetch cycle, and short enough to be seen soon."""

    def __init__(self, health: Health, clock: Clock, tolerated: int) -> None:
        """`tolerated`: a lag up to this many (in the source's unit) never fails."""
        self._health = health
        self._clock = clock
        self._tolerated = tolerated
        self._started_s = clock.monotonic_s()
        self._before: int | None = None
        self._least: int | None = None
        health.ok("lag")

    def observe(self, lag: int | None) -> None:
        """Takes the lag of all partitions together, None if the source cannot report it."""
        if lag is not None:
            self._least = lag if self._least is None else min(self._least, lag)
        now_s = self._clock.monotonic_s()
        if now_s - self._started_s < self.STRETCH_S or self._least is None:
            return
        least, before = self._least, self._before
        if before is not None and least > self._tolerated and least > before * self.GROWTH:
            self._health.fail("lag", f"rising: from {before} to {least} within {self.STRETCH_S:g} s")
        else:
            self._health.ok("lag", f"{least} at the latest count")
        self._started_s, self._before, self._least = now_s, least, None


def _words(condition: Condition) -> dict[str, object]:
    return {"ok": condition.ok, "detail": condition.detail, "since": iso_seconds(condition.since_ns)}
