"""Made-up streams of sessions whose change is known."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.drift.monitor import DriftMonitor
from engine.drift.settings import DriftSettings
from models.base import Windows, template_id

TEXTS = ["open <*>", "read <NUM> bytes", "write <NUM> bytes", "close <*>", "retry", "failed: <*>", "moved to <IP>"]
IDS = [template_id(text) for text in TEXTS]
OPEN, READ, WRITE, CLOSE, RETRY, FAILED, MOVED = IDS

ORDINARY = ((OPEN, READ, READ, CLOSE), (OPEN, WRITE, CLOSE), (OPEN, READ, WRITE, CLOSE), (OPEN, RETRY, READ, CLOSE))
USUAL = (0.5, 0.25, 0.2, 0.05)


@dataclass
class Stream:
    """Sessions drawn by shares, with a score each; one a second of event time."""

    seed: int = 0
    rows: list[tuple[int, ...]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    first: int = 0

    def add(self, n: int, shares=USUAL, kinds=ORDINARY, score=lambda rng: rng.beta(1, 20)) -> "Stream":
        rng = np.random.default_rng([self.seed, len(self.rows)])
        self.rows += [kinds[i] for i in rng.choice(len(kinds), n, p=shares)]
        self.scores += [score(rng) for _ in range(n)]
        return self

    def split(self, at: int) -> tuple["Stream", "Stream"]:
        return Stream(0, self.rows[:at], self.scores[:at], self.first), Stream(
            0, self.rows[at:], self.scores[at:], self.first + at
        )

    def feed(self, monitor: DriftMonitor, cuts=(), version: int = 1, waits=()):
        """Everything through the monitor, cut into batches at the places given; the events.

        After a batch whose number is in `waits` the monitor does not look.
        """
        places = [0, *sorted(min(cut, len(self.rows)) for cut in cuts), len(self.rows)]
        events = []
        for number, (start, stop) in enumerate(itertools.pairwise(places)):
            windows = Windows.of(self.rows[start:stop])
            scores = np.array(self.scores[start:stop], np.float32)
            times = np.arange(self.first + start, self.first + stop, dtype=np.int64) * 10**9
            events += monitor.observe(
                windows, scores, times, model="m", version=version, threshold=0.5, wait=number in waits
            )
        return events + monitor.look()


def vectors(ids: NDArray[np.int64]) -> NDArray[np.float32]:
    return np.stack([np.random.default_rng(int(i) & 0xFFFFFFFF).standard_normal(16) for i in ids]).astype(np.float32)


@pytest.fixture(scope="session")
def stream() -> type[Stream]:
    """Sessions drawn by shares."""
    return Stream


KNOWN = dict(zip(IDS, TEXTS, strict=True))
SMALL = {"block_windows": 50, "warmup_blocks": 20, "current_blocks": 5, "cooldown_windows": 500}


@pytest.fixture(scope="session")
def monitor() -> Callable[..., DriftMonitor]:
    """A monitor with small blocks; a change of 250 windows fills the current ones."""

    def make(state=None, texts=None, **settings) -> DriftMonitor:
        return DriftMonitor(DriftSettings(**{**SMALL, **settings}), texts or KNOWN, vectors=vectors, state=state)

    return make
