"""Score: windows gathered from all sessions of a worker, scored in one batch by the current model."""

import logging
from collections.abc import Sequence
from typing import Annotated, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from engine.clock import Clock
from engine.records import ScoredWindows, WindowBatch
from models.base import Windows

log = logging.getLogger(__name__)


class ScoreSettings(BaseModel):
    """How windows are gathered for the model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_windows: Annotated[int, Field(ge=1)] = Field(
        4096, description="Number of waiting windows at which they are scored immediately."
    )
    max_age_ms: Annotated[float, Field(ge=0)] = Field(
        10.0,
        description="Maximum time that a window waits for others, in milliseconds. 0 scores each batch immediately.",
    )
    cache_entries: Annotated[int, Field(ge=0)] = Field(
        200_000,
        description="Number of cached scores, by window content, for the model version in use. 0 disables the cache.",
    )
    threads: Annotated[int, Field(ge=1)] = Field(
        1, description="Threads of the numerical libraries in each worker process."
    )


class ScoringModel(Protocol):
    """A version of a detector, ready to score."""

    @property
    def name(self) -> str:
        """Name in the model store."""
        ...

    @property
    def version(self) -> int:
        """Version in the model store."""
        ...

    @property
    def threshold(self) -> float:
        """Calibrated: a score at or above it is anomalous."""
        ...

    def score(self, windows: Windows) -> NDArray[np.float32]:
        """See `models.base.WindowDetector.score`."""
        ...


class CurrentModel(Protocol):
    """Where the step looks up which model to use; the hot swap changes what it answers."""

    def get(self) -> ScoringModel:
        """The model for the next batch."""
        ...


class Gatherer:
    """Collects windows until there are enough of them, or the first has waited long enough.

    What waits is part of the recovery state, so a crash loses none and a drain keeps them.
    """

    def __init__(
        self, settings: ScoreSettings, current: CurrentModel, clock: Clock, snapshot: list[dict[str, Any]] | None = None
    ) -> None:
        self._settings = settings
        self._current = current
        self._clock = clock
        self._waiting: list[WindowBatch] = [unpack_windows(p) for p in snapshot or ()]
        self._count = sum(len(b) for b in self._waiting)
        self._since_s: float | None = clock.monotonic_s() if self._waiting else None

    def add(self, batches: Sequence[WindowBatch]) -> list[ScoredWindows]:
        """Takes windows over; the scores of all that are waiting, if it is time."""
        for batch in batches:
            if len(batch):
                self._waiting.append(batch)
                self._count += len(batch)
        if self._waiting and self._since_s is None:
            self._since_s = self._clock.monotonic_s()
        if self._count >= self._settings.max_windows or self.due_s() == 0:
            return self.flush()
        return []

    def due_s(self) -> float | None:
        """Seconds until the oldest window has waited long enough; None where nothing waits."""
        if self._since_s is None:
            return None
        waited = self._clock.monotonic_s() - self._since_s
        return max(0.0, self._settings.max_age_ms / 1000 - waited)

    def flush(self) -> list[ScoredWindows]:
        """The scores of everything that waits, in order."""
        batches, self._waiting = self._waiting, []
        self._count, self._since_s = 0, None
        if not batches:
            return []
        # One look-up of the model for the whole batch: a swap takes effect between two batches.
        model = self._current.get()
        gathered = WindowBatch.join(batches)
        scores = finite_scores(model.score(gathered.windows), model.threshold)
        return [ScoredWindows(gathered, scores, model.name, model.version, model.threshold)]

    def waiting_templates(self) -> list[int]:
        """The ids of all templates in the windows that wait, ascending, each once."""
        if not self._waiting:
            return []
        ids: list[int] = np.unique(np.concatenate([b.windows.ids for b in self._waiting])).tolist()
        return ids

    def snapshot(self) -> list[dict[str, Any]]:
        """The waiting windows as plain data."""
        return [pack_windows(b) for b in self._waiting]


def finite_scores(scores: NDArray[np.float32], threshold: float) -> NDArray[np.float32]:
    """The scores, with numbers instead of those that are not finite; nothing behind this step has to expect them.

    Infinite scores become the largest and smallest numbers. A score that is not a number proves nothing, so it
    becomes the largest one below the threshold.
    """
    if np.isfinite(scores).all():
        return scores
    unknown = int(np.isnan(scores).sum())
    if unknown:
        log.warning("the model gave no number as the score of %d windows of %d", unknown, len(scores))
    limits = np.finfo(np.float32)
    below = np.nextafter(np.float32(threshold), limits.min)
    known = np.where(np.isnan(scores), below, scores)
    found: NDArray[np.float32] = np.clip(known, limits.min, limits.max).astype(np.float32)
    return found


_COLUMNS = ("first", "last", "first_ns", "last_ns", "ready_ns", "produced_ns")


def pack_windows(batch: WindowBatch) -> dict[str, Any]:
    """Plain data that holds a batch: bytes of the arrays and lists of strings."""
    arrays = {name: getattr(batch, name).tobytes() for name in ("session", *_COLUMNS)}
    windows = batch.windows
    return {
        "format": 1,
        "ids": windows.ids.tobytes(),
        "offsets": windows.offsets.tobytes(),
        "closed": windows.closed.tobytes(),
        "partition": list(batch.partition),
        "key": list(batch.key),
        "traceparent": batch.traceparent,
        **arrays,
    }


def unpack_windows(packed: dict[str, Any]) -> WindowBatch:
    """What `pack_windows` was given."""

    def column(name: str) -> NDArray[np.int64]:
        return np.frombuffer(packed[name], np.int64)

    return WindowBatch(
        Windows(column("ids"), column("offsets"), np.frombuffer(packed["closed"], np.bool_)),
        tuple(packed["partition"]),
        column("session"),
        tuple(packed["key"]),
        traceparent=packed["traceparent"],
        **{name: column(name) for name in _COLUMNS},
    )
