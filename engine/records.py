"""The records that pass from step to step inside the engine: columns, never single lines.

source ─ LineBatch ─▶ parse ─ ParsedLines ─▶ window ─ WindowBatch ─▶ score ─ ScoredWindows ─▶ decide ─ Alert ─▶ sinks
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from connectors.base import DeadLetter, LineBatch
from models.base import Windows


@dataclass(frozen=True, slots=True)
class ParsedLines:
    """The good lines of one `LineBatch`, taken apart; all columns have one row per good line.

    Attributes:
        lines: The batch they came from.
        rows: int32 (n,), ascending: index of each good line in `lines`.
        time_ns: int64 (n,): event time, UTC ns since the epoch.
        template: int64 (n,): `models.base.template_id` of the template's text as it was when the
            line was read.
        session: int64 (n,): hash of the session key; `NO_SESSION` where the line has none.
        key_start, key_end: int32 (n,): the session key's bytes are `lines.data[start:end]`; empty
            where the line has none.
        templates: Text of every template id that this parser announces: all of them with its
            first batch after a start, later only those not announced before.
        bad: The lines that did not parse, each with its place and reason.
        timeless: Whether the partition has (almost) no times of its own, so that the time of a line is when it was
            read.
    """

    lines: LineBatch
    rows: NDArray[np.int32]
    time_ns: NDArray[np.int64]
    template: NDArray[np.int64]
    session: NDArray[np.int64]
    key_start: NDArray[np.int32]
    key_end: NDArray[np.int32]
    templates: Mapping[int, str]
    bad: tuple[DeadLetter, ...]
    timeless: bool = False

    def __len__(self) -> int:
        return len(self.rows)


NO_SESSION = 0
"""Value of `ParsedLines.session` for a line without a session key; no real key hashes to it."""


@dataclass(frozen=True, slots=True)
class WindowBatch:
    """Windows ready for scoring, in the order in which their last deciding line was read.

    That order, and the windows themselves, do not depend on how the stream was cut into batches.

    Attributes:
        windows: The template ids, ragged; `windows.closed` is False for a growth step.
        partition: Partition of each window's lines (n entries, shared strings).
        session: int64 (n,): hash of the session key, as in `ParsedLines`.
        key: The session key as text (n entries), "" where lines have none.
        first, last: int64 (n,): position (see `LineBatch.positions`) of the first and last line.
        first_ns, last_ns: int64 (n,): event time of the earliest and latest line.
        ready_ns: int64 (n,): wall clock at the read of the batch that completed the window.
        produced_ns: int64 (n,): `LineBatch.produced_ns` of that batch.
        traceparent: W3C trace context of the newest batch in here, or "".
    """

    windows: Windows
    partition: tuple[str, ...]
    session: NDArray[np.int64]
    key: tuple[str, ...]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    first_ns: NDArray[np.int64]
    last_ns: NDArray[np.int64]
    ready_ns: NDArray[np.int64]
    produced_ns: NDArray[np.int64]
    traceparent: str = ""

    def __len__(self) -> int:
        return len(self.windows)

    @staticmethod
    def join(batches: "Sequence[WindowBatch]") -> "WindowBatch":
        """The windows of all batches (at least one) in one, in order."""
        if len(batches) == 1:
            return batches[0]
        lengths = np.concatenate([b.windows.lengths() for b in batches])
        offsets = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        windows = Windows(
            np.concatenate([b.windows.ids for b in batches]),
            offsets,
            np.concatenate([b.windows.closed for b in batches]),
        )
        columns = ("session", "first", "last", "first_ns", "last_ns", "ready_ns", "produced_ns")
        return WindowBatch(
            windows,
            partition=tuple(p for b in batches for p in b.partition),
            key=tuple(k for b in batches for k in b.key),
            traceparent=batches[-1].traceparent,
            **{name: np.concatenate([getattr(b, name) for b in batches]) for name in columns},
        )


@dataclass(frozen=True, slots=True)
class ScoredWindows:
    """A `WindowBatch` with the score of every window and the model that gave it.

    `threshold` is the calibrated one of that model version; a score at or above it is anomalous.
    """

    batch: WindowBatch
    score: NDArray[np.float32]
    model: str
    version: int
    threshold: float


@dataclass(frozen=True, slots=True)
class Decision:
    """One window for which an alert is due; `index` points into its `ScoredWindows`.

    `repeats` counts the windows of the same session that were anomalous since its last alert and
    raised none, apart from those that a suppression rule took; `group` is the signature of the
    window's templates, `group_count` how many alerts were due with that signature within the
    grouping time, this one included; `threshold` is the score from which the window was anomalous:
    the model's, or the one in the settings; `news` are the window's templates that
    neither earlier alerts of its episode nor normal windows before have shown.
    """

    index: int
    repeats: int
    group: str
    group_count: int
    threshold: float
    news: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class DecidedWindows:
    """Scored windows with what was decided about them.

    Attributes:
        scored: The windows.
        anomalous: bool (n,): whether the score of each reached the threshold that it had to meet.
        decisions: The windows for which an alert is due, in order.
    """

    scored: ScoredWindows
    anomalous: NDArray[np.bool_]
    decisions: tuple[Decision, ...]


@dataclass(frozen=True, slots=True)
class Rejected:
    """Dead letters on their way to their sink."""

    letters: tuple[DeadLetter, ...]
    partition: str
