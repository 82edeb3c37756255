"""Collect: windows worth learning from, on their way into the region's training store.

The flow only picks windows and hands them over; a thread of its own writes them, so no line waits for a
disk. What is handed over and not yet written when the process is killed is lost: the store is a sample
anyway. What is read again after a crash is stored under the same id, hence once.

The same thread reads what labels show of the model in service, for the drift detectors of labels and for rollbacks.
"""

import logging
import queue
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.clock import Clock
from engine.records import ScoredWindows
from engine.steps.alert import alert_id
from engine.telemetry.telemetry import Telemetry
from federation.errors import FederationError
from federation.storage.training_store import TrainingSettings, TrainingStore
from federation.storage.verdicts import Verdicts
from models.base import Windows

log = logging.getLogger(__name__)

WAITING = 64
"""Batches that may wait for the disk; further ones are dropped and counted."""

LOG_S = 60.0
"""Between two lines of the log on a store that takes nothing."""

LABELS_S = 2.0
"""Seconds between two looks for new labels."""

CLOSE_S = 5.0
"""How long an ending worker waits for the store."""

_MIX = np.uint64(0x9E3779B97F4A7C15)  # Knuth's multiplicative hash


@dataclass(frozen=True, slots=True)
class Picked:
    """Windows for the store, in columns of the same length."""

    windows: Windows
    keys: tuple[str, ...]
    ids: tuple[str, ...]
    time_ns: NDArray[np.int64]
    scores: NDArray[np.float32]

    def take(self, index: NDArray[np.integer[Any]]) -> "Picked":
        """The windows at `index`, in that order."""
        chosen = index.tolist()
        return Picked(
            self.windows.take(index), tuple(self.keys[i] for i in chosen), tuple(self.ids[i] for i in chosen),
            self.time_ns[index], self.scores[index],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ServiceStart:
    """When a model version went into service, and its present threshold.

    Attributes:
        version: Name and version of the model.
        wall_ns: Wall clock.
        time_ns: Event time of the first window that it scored.
        threshold: Score from which a window is anomalous.
    """

    version: tuple[str, int]
    wall_ns: int
    time_ns: int
    threshold: float


class Picker:
    """Chooses this many windows a second: anomalous ones first, of the others those whose place hashes lowest."""

    def __init__(self, region: str, windows_per_s: float, clock: Clock, fixed_threshold: float | None = None) -> None:
        """`fixed_threshold` replaces the model's threshold, if it is set."""
        self._region = region
        self._rate = windows_per_s
        self._clock = clock
        self._fixed = fixed_threshold
        self._budget = windows_per_s
        self._at_s = clock.monotonic_s()

    def pick(self, scored: ScoredWindows) -> Picked | None:
        """The chosen windows of a batch; None if there are none."""
        now_s = self._clock.monotonic_s()
        self._budget = min(self._rate, self._budget + (now_s - self._at_s) * self._rate)
        self._at_s = now_s
        index = self._chosen(scored, int(self._budget))
        self._budget -= len(index)
        if not len(index):
            return None
        batch, rows = scored.batch, index.tolist()
        places = ((batch.partition[i], batch.key[i], int(batch.first[i]), int(batch.last[i])) for i in rows)
        return Picked(
            batch.windows.take(index), tuple(batch.key[i] for i in rows),
            tuple(alert_id(self._region, *place) for place in places), batch.last_ns[index], scored.score[index],
        )  # fmt: skip

    def _chosen(self, scored: ScoredWindows, most: int) -> NDArray[np.int64]:
        """Indexes, ascending, of at most this many windows; a replay prefers the same."""
        # A growth step of a session that turns out anomalous may still look normal: it would teach the wrong thing.
        complete = np.flatnonzero(scored.batch.windows.closed)
        if len(complete) <= most:
            return complete
        batch = scored.batch
        hashed = (batch.session[complete].view(np.uint64) ^ batch.first[complete].view(np.uint64)) * _MIX
        threshold = scored.threshold if self._fixed is None else self._fixed
        rank = (hashed >> np.uint64(1)) | ((scored.score[complete] < threshold).astype(np.uint64) << np.uint64(63))
        return np.sort(complete[np.argsort(rank, kind="stable")[:most]])


class Collector:
    """Owns the thread that writes; `offer` and `verdicts` are called by the flow."""

    def __init__(
        self, picker: Picker, training: TrainingSettings, templates: Mapping[int, str], clock: Clock,
        telemetry: Telemetry,
    ) -> None:  # fmt: skip
        """Writes nothing before `start`."""
        self._picker = picker
        self._training = training
        self._templates = templates
        self._clock = clock
        self._metrics = telemetry.metrics
        self._waiting: queue.Queue[Picked | None] = queue.Queue(WAITING)
        self._asked: ServiceStart | None = None
        self._answer: tuple[ServiceStart, int, Verdicts] | None = None
        self._thread = threading.Thread(target=self._run, name="training-store", daemon=True)
        self._said_s = float("-inf")
        self._lost = 0

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def offer(self, scored: ScoredWindows) -> None:
        """Hands the windows worth learning from over to the thread; never waits."""
        picked = self._picker.pick(scored)
        if picked is None:
            return
        try:
            self._waiting.put_nowait(picked)
        except queue.Full:
            self._metrics.training_windows.labels("dropped").inc(len(picked.ids))

    def verdicts(self, start: ServiceStart) -> Verdicts | None:
        """What labels show of the version that went into service then; None until it is read."""
        self._asked = start
        answer = self._answer
        return answer[2] if answer is not None and answer[0].version == start.version else None

    def close(self) -> None:
        """Writes what waits, and ends the thread; gives up on a disk that does not answer."""
        try:
            self._waiting.put(None, timeout=CLOSE_S)
        except queue.Full:
            log.error("training windows are not kept: the store took none for %g s", CLOSE_S)
        self._thread.join(timeout=CLOSE_S)

    def _run(self) -> None:
        store: TrainingStore | None = None
        open_, looked_s = True, -LABELS_S
        while open_:
            picked, open_ = self._next()
            try:
                if store is None:
                    store = TrainingStore(self._training.path, self._training, now_ns=self._clock.wall_ns)
                if picked is not None:
                    self._write(store, picked)
                    picked = None
                if self._clock.monotonic_s() - looked_s >= LABELS_S:
                    looked_s = self._clock.monotonic_s()
                    self._look(store)
            except Exception as error:
                # The edge of a thread: after any error, the next window is tried.
                self._fail(error, picked)
                _closed(store)
                store = None
        _closed(store)

    def _next(self) -> tuple[Picked | None, bool]:
        """What is to be written next, if anything, and whether more may come."""
        try:
            picked = self._waiting.get(timeout=LABELS_S)
        except queue.Empty:
            return None, True
        return picked, picked is not None

    def _write(self, store: TrainingStore, picked: Picked) -> None:
        # A window that waited through a restart may hold a template whose text is announced only later.
        known = np.fromiter((t in self._templates for t in picked.windows.ids.tolist()), bool, len(picked.windows.ids))
        strange = np.concatenate([[0], np.cumsum(~known)])
        whole = np.flatnonzero(strange[picked.windows.offsets[1:]] == strange[picked.windows.offsets[:-1]])
        kept = picked if len(whole) == len(picked.ids) else picked.take(whole)
        store.add(
            kept.windows, keys=kept.keys, ids=kept.ids, time_ns=kept.time_ns, scores=kept.scores,
            templates=self._templates,
        )  # fmt: skip
        self._metrics.training_windows.labels("written").inc(len(kept.ids))
        self._metrics.training_windows.labels("dropped").inc(len(picked.ids) - len(kept.ids))

    def _look(self, store: TrainingStore) -> None:
        """Counts the labels of the version in service, if it is another one or a label has arrived."""
        start, answer, latest_ns = self._asked, self._answer, store.latest_label_ns()
        if start is None or (answer is not None and (answer[0].version, answer[1]) == (start.version, latest_ns)):
            return
        if answer is None or answer[0].version != start.version:
            store.note_service(start.version[1], start.time_ns)
        self._answer = start, latest_ns, store.verdicts(start.wall_ns, start.time_ns, start.threshold)

    def _fail(self, error: Exception, picked: Picked | None) -> None:
        """Lines still become alerts: a store that cannot be written costs training windows, nothing else."""
        if picked is not None:
            self._metrics.training_windows.labels("dropped").inc(len(picked.ids))
            self._lost += len(picked.ids)
        now_s = self._clock.monotonic_s()
        if now_s - self._said_s >= LOG_S:
            # An unexpected error is logged with its traceback.
            foreseen = isinstance(error, FederationError | OSError | sqlite3.Error)
            log.error(
                "training windows are not kept (%s lost since the last message): %s", self._lost, error,
                exc_info=None if foreseen else error,
            )  # fmt: skip
            self._said_s, self._lost = now_s, 0


def _closed(store: TrainingStore | None) -> None:
    """Frees a store, which may be broken; the next look opens it again."""
    try:
        if store is not None:
            store.close()
    except sqlite3.Error as error:
        log.warning("the training store could not be closed in order: %s", error)


@contextmanager
def collecting(
    region: str, training: TrainingSettings | None, templates: Mapping[int, str], clock: Clock, telemetry: Telemetry,
    *, fixed_threshold: float | None,
) -> Iterator[Collector | None]:  # fmt: skip
    """The region's collector, which writes while inside; None where nothing is kept to learn from."""
    if training is None:
        yield None
        return
    picker = Picker(region, training.windows_per_s, clock, fixed_threshold)
    collector = Collector(picker, training, templates, clock, telemetry)
    collector.start()
    try:
        yield collector
    finally:
        collector.close()
