"""Labelled windows out of log files, cut exactly as the engine cuts them.

A log goes through the same source, parser and windower as in the engine; only the clock does
not move, so nothing is evicted for being idle. Labels are by session, or by record: from a file
(`engine.offline.label_files`), from a column of the log, or from the label column that some formats have.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.formats.registry import AUTO, find
from engine.offline.inputs import DatasetError, LogSpec
from engine.offline.label_files import SessionLabels
from engine.offline.log_reading import LogReading
from engine.offline.record_labels import FormatLabels
from engine.records import WindowBatch
from engine.steps.parse import ParseSettings
from engine.steps.window import WindowSettings
from models.base import Windows


@dataclass(frozen=True, slots=True)
class LabelledWindows:
    """Windows in the order in which the engine would score them.

    Attributes:
        windows: Growth steps of sessions included (`closed` is False for them).
        labels: bool (n,): True = anomalous. A growth step has the label of its session where labels
            are by session, though what makes it anomalous may only come later.
        templates: The text of every template id.
        keys: Session key of each window, "" where lines have none.
        first_ns, last_ns: int64 (n,): event time of the earliest and latest line.
        cut: bool (n,): the session was still open at the end of its file; False for other kinds of windows.
        lines: Lines read, bad ones included.
        bad_lines, late_lines: Lines that did not parse, and that no window took any more.
        unlabelled: Windows left out because the label file does not name their session.
        cut_sessions: Sessions that were still open at the end of their file.
    """

    windows: Windows
    labels: NDArray[np.bool_]
    templates: dict[int, str]
    keys: tuple[str, ...]
    first_ns: NDArray[np.int64]
    last_ns: NDArray[np.int64]
    cut: NDArray[np.bool_]
    lines: int
    bad_lines: int
    late_lines: int
    unlabelled: int
    cut_sessions: int

    def __len__(self) -> int:
        return len(self.windows)

    def take(self, index: NDArray[np.integer[Any]]) -> "LabelledWindows":
        """The windows at `index`, in that order; the counts stay those of the whole log."""
        return LabelledWindows(
            self.windows.take(index),
            self.labels[index],
            self.templates,
            tuple(self.keys[i] for i in index.tolist()),
            self.first_ns[index],
            self.last_ns[index],
            self.cut[index],
            self.lines,
            self.bad_lines,
            self.late_lines,
            self.unlabelled,
            self.cut_sessions,
        )

    def closed(self) -> "LabelledWindows":
        """Without the growth steps."""
        return self.take(np.flatnonzero(self.windows.closed))


def load_windows(spec: LogSpec, parse_settings: ParseSettings, window_settings: WindowSettings) -> LabelledWindows:
    """Reads the log and gives its windows with their labels.

    Raises:
        DatasetError: the log or its labels are missing, truncated, of another format, or lack
            what is needed; the message names the file.
    """
    own_labels = _may_have_labels(parse_settings.format)
    if spec.labels is None and spec.supervised and not own_labels:
        raise _no_labels(spec, (parse_settings.format,))
    reading = LogReading(spec, parse_settings, window_settings)
    batch, flags, cut = reading.run()
    keep = np.arange(len(batch))
    if isinstance(reading.labels, SessionLabels):
        keep, flags = _by_session(batch, reading.labels)
    elif isinstance(reading.labels, FormatLabels) and not reading.labels.found and spec.supervised:
        raise _no_labels(spec, tuple(reading.labels.formats))
    if not len(keep) and not any(batch.key):
        raise DatasetError(f"{spec.labels} has labels by session, but no line of {spec} has a session key")
    if not len(keep):
        raise DatasetError(f"{spec.labels} names none of the {len(batch)} sessions in {spec}, such as {batch.key[0]!r}")
    if spec.supervised and (flags.all() or not flags.any()):
        found = "anomalous" if flags.all() else "normal"
        raise DatasetError(f"all {len(flags)} windows of {spec} are {found}; windows of both classes are needed")
    return LabelledWindows(
        batch.windows.take(keep),
        flags,
        reading.templates,
        tuple(batch.key[i] for i in keep.tolist()),
        batch.first_ns[keep],
        batch.last_ns[keep],
        cut[keep],
        reading.lines,
        reading.bad,
        reading.late,
        len(batch) - len(keep),
        int((cut & batch.windows.closed)[keep].sum()),
    )


def _may_have_labels(format: str) -> bool:
    return format == AUTO or find(format).normal_label is not None


def _no_labels(spec: LogSpec, formats: Sequence[str]) -> DatasetError:
    return DatasetError(
        f"{spec} has no labels: the format {' or '.join(formats)} does not carry them. Name a file of labels, or "
        "column:NAME for a column of the log"
    )


def _by_session(batch: WindowBatch, labels: SessionLabels) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The windows whose session has a label, and their labels."""
    known = labels.anomalous
    if not labels.all_listed and any(key in known for key in batch.key):
        return np.arange(len(batch)), np.array([known.get(key, False) for key in batch.key], np.bool_)
    keep = np.array([i for i, key in enumerate(batch.key) if key in known], np.int64)
    return keep, np.array([known[batch.key[i]] for i in keep.tolist()], np.bool_)


def split_by_session(data: LabelledWindows, share: float, *, seed: int = 0) -> tuple[LabelledWindows, LabelledWindows]:
    """A random `share` (0..1) of the sessions, and the others; a session is never in both."""
    sessions, session_of = _sessions(data)
    order = np.random.default_rng(seed).permutation(sessions)
    return _divide(data, np.isin(session_of, order[: round(share * sessions)]))


def split_by_time(data: LabelledWindows, share: float) -> tuple[LabelledWindows, LabelledWindows]:
    """The first `share` (0..1) of the sessions by their first line, and the later ones."""
    begin, session_of = session_begins(data)
    order = np.argsort(begin, kind="stable")
    return _divide(data, np.isin(session_of, order[: round(share * len(begin))]))


def session_begins(data: LabelledWindows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Event time of the first line of each session, int64 (sessions,), and the session of each window, int64 (n,)."""
    sessions, session_of = _sessions(data)
    begin = np.full(sessions, np.iinfo(np.int64).max)
    np.minimum.at(begin, session_of, data.first_ns)
    return begin, session_of


def _sessions(data: LabelledWindows) -> tuple[int, NDArray[np.int64]]:
    """Number of sessions, and the session of each window; a window without a key is a session of its own."""
    if not any(data.keys):
        return len(data), np.arange(len(data))
    names, session_of = np.unique(np.array(data.keys), return_inverse=True)
    return len(names), session_of.astype(np.int64)


def _divide(data: LabelledWindows, first: NDArray[np.bool_]) -> tuple[LabelledWindows, LabelledWindows]:
    return data.take(np.flatnonzero(first)), data.take(np.flatnonzero(~first))
